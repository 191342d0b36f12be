/**
 * What the audit log says: which changes there are, who made one, and what it changed. Secrets never
 * get here: what may hold one is masked before.
 */

/** What was done; the part before the dot is the kind of thing that it was done to. */
export const AUDIT_ACTIONS = [
  'api_key.created',
  'api_key.revoked',
  'connection.broadcast',
  'connection.closed',
  'delivery.canceled',
  'delivery.redriven',
  'event_type.created',
  'event_type.deleted',
  'event_type.updated',
  'operation.canceled',
  'operation.started',
  'webhook.created',
  'webhook.deleted',
  'webhook.disabled',
  'webhook.secret_rotated',
  'webhook.updated',
] as const;
export type AuditAction = (typeof AUDIT_ACTIONS)[number];

/** Kinds of things. */
export const AUDIT_RESOURCES = [
  'api_key',
  'connection',
  'delivery',
  'event_type',
  'operation',
  'webhook',
] as const;
export type AuditResource = (typeof AUDIT_RESOURCES)[number];

export const resourceOf = (action: AuditAction): AuditResource =>
  action.slice(0, action.indexOf('.')) as AuditResource;

/** Stands for a secret. */
export const MASK = '***';

/** The request that a change was asked for by. */
export interface Origin {
  /** Of the client; null: its connection had ended. */
  address: string | null;
  /** As in `x-request-id` of the response. */
  requestId: string | null;
}

/** Who makes a change; `system`: Tidings itself. */
export type AuditActor =
  | 'system'
  | {
      ownerId: string;
      userId: string;
      roles: ReadonlySet<string>;
      /** Undefined: a token was presented. */
      apiKeyId?: string;
      /** Undefined: a module of the application asks, and no request. */
      origin?: Origin;
    };

/** By field; null: the thing had, or has, no such value. */
export type Changes = Record<string, { old: unknown; new: unknown }>;

/** One change, as it is recorded. */
export interface Change {
  action: AuditAction;
  /** The thing that was changed; null: there is more than one, or none. */
  resourceId: string | null;
  /** The owner of the thing, who may read of it; null: the operator. */
  ownerId: string | null;
  changes: Changes;
}

/** Characters of a value, as JSON, that are kept: lists of patterns and schemas may have any number. */
export const MAX_VALUE_LENGTH = 1_000;
/** Behind what is left of a value that was too long. */
export const TRIMMED = '… (trimmed)';

type Fields = Readonly<Record<string, unknown>>;
type Shown = Readonly<Record<string, (value: never) => unknown>>;

/**
 * The fields that differ; compared as they are, and shown as the audit log may show them, so that a
 * change of a secret appears without it.
 *
 * @param shown by field, what to show of a value that is not null; absent: all of it
 */
export function changesOf(before: Fields, after: Fields, shown: Shown = {}): Changes {
  const changes: Changes = {};
  for (const field of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const [old = null, now = null] = [before[field], after[field]];
    if (JSON.stringify(old) === JSON.stringify(now)) continue;
    changes[field] = { old: kept(old, shown[field]), new: kept(now, shown[field]) };
  }
  return changes;
}

/** What a change set, where there is nothing to compare it with. */
export const given = (fields: Fields): Changes => changesOf({}, fields);

function kept(value: unknown, show: ((value: never) => unknown) | undefined): unknown {
  return value === null ? null : trimmed(show ? show(value as never) : value);
}

function trimmed(value: unknown): unknown {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  if (text.length <= MAX_VALUE_LENGTH) return value;
  return text.slice(0, MAX_VALUE_LENGTH).toWellFormed() + TRIMMED;
}

/** A URL whose query may hold a credential; the names of its parameters stay. */
export function maskedUrl(url: string): string {
  const start = url.indexOf('?');
  if (start === -1) return url;
  const parts = url.slice(start + 1).split('&');
  // A part without a name may be the credential itself.
  const masked = parts.map((part) => part.replace(/^([^=]*=)?.*$/s, `$1${MASK}`));
  return `${url.slice(0, start)}?${masked.join('&')}`;
}

/** Names stay, values are masked. */
export const maskedValues = (values: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.keys(values).map((name) => [name, MASK]));

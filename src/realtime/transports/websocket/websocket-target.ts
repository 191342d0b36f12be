/** What the address of a plain WebSocket asks for. */
import type { EventTypeCache } from '../../../event-types/event-type-cache.service.js';
import { AppError, InvalidInputError } from '../../../shared/app-error.js';
import { isSystemEventType } from '../../../shared/event-pattern.js';
import { fieldErrors } from '../../../shared/field-errors.js';
import {
  type ClientIdentity,
  clientIdentity,
  identityIn,
} from '../../connections/client-identity.js';
import type { Target } from '../../protocol.js';
import { lastCount } from '../../subscribed-topic.js';
import { type Topic, topicSchema } from '../../topic.js';

export interface WebSocketAddress {
  /** What the path names; repeated in `connected`. Undefined: it is `/ws`. */
  target: Target | undefined;
  /** Subscribed on arrival. */
  topic: Topic | undefined;
  /** The newest events of the topic that come first. */
  last?: number;
  client: ClientIdentity;
  query: URLSearchParams;
}

/** The part of the catalogue that says what a name is. */
export type Catalogue = Pick<EventTypeCache, 'get' | 'typesIn'>;

/** How the path begins; the rest is read by {@link webSocketAddress}. */
const PREFIX = /^\/ws(?=[/?]|$)/;

export const isPlainWebSocket = (url: string): boolean => PREFIX.test(url);

/**
 * Reads `/ws`, `/ws/{channel, type or client id}` and `/ws/{channel or type}/{subject}`, whose parts are
 * percent-encoded, and `?clientId=` and `?replace=`.
 *
 * @throws AppError `malformed_request`, `route_not_found`, `invalid_input`
 */
export function webSocketAddress(url: string, catalogue: Catalogue): WebSocketAddress {
  const [path = '', ...search] = url.split('?');
  const query = new URLSearchParams(search.join('?'));
  const parts = path.replace(PREFIX, '').replace(/\/$/, '').split('/').slice(1).map(decoded);
  const [name, subject] = parts;
  if (parts.includes('') || parts.length > 2) {
    const detail =
      'There are /ws, /ws/{channel, type or client id} and /ws/{channel or type}/{subject}.';
    throw new AppError('not_found', 'route_not_found', detail);
  }
  const target = name === undefined ? undefined : targetOf(name, subject, catalogue);
  const given = identityIn(query);
  if (!target || !('clientId' in target)) {
    return {
      target,
      topic: target && checkedTopic(target),
      client: clientIdentity(given),
      query,
      ...lastOf(query),
    };
  }
  if (given.clientId !== undefined && given.clientId !== target.clientId) {
    throw InvalidInputError.at('clientId', 'differs from that of the path');
  }
  const client = clientIdentity({ ...given, clientId: target.clientId });
  return { target, topic: undefined, client, query };
}

/** A channel of the catalogue, a type of it or of the system, or else a client id. */
function targetOf(name: string, subject: string | undefined, catalogue: Catalogue): Target {
  const about = subject === undefined ? {} : { subject };
  if (catalogue.typesIn(name).length > 0) return { channel: name, ...about };
  const isType = isSystemEventType(name) || catalogue.get(name) !== undefined;
  // Nothing else has a subject. Types need not be in the catalogue.
  return isType || subject !== undefined ? { type: name, ...about } : { clientId: name };
}

function lastOf(query: URLSearchParams): { last?: number } {
  const text = query.get('last');
  if (text === null) return {};
  const last = lastCount.safeParse(/^\d{1,9}$/.test(text) ? Number(text) : text);
  if (last.success) return { last: last.data };
  throw InvalidInputError.at('last', last.error.issues[0]?.message ?? 'is not a number');
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw new AppError('malformed', 'malformed_request', 'The path is not percent-encoded UTF-8.');
  }
}

function checkedTopic(target: object): Topic {
  const parsed = topicSchema.safeParse(target);
  if (parsed.success) return parsed.data;
  throw new InvalidInputError(fieldErrors(parsed.error.issues));
}

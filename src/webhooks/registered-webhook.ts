import { createSecretKey, type KeyObject } from 'node:crypto';
import type { RetryPolicy } from '../common/retry-policy.js';
import { open } from '../common/secret-box.js';
import { type OutboundTarget, targetOf } from '../outbound/webhook-url.js';
import type { SigningSecret } from './signing-secret.js';

/** A row of `webhooks` as the registry reads it. */
export interface WebhookRow {
  id: string;
  owner_id: string | null;
  url: string;
  events: string[];
  sealed_secrets: string;
  sealed_headers: string | null;
  active: boolean;
  disabled_reason: string | null;
  timeout_ms: number | null;
  retry_policy: RetryPolicy | null;
  deleted: boolean;
  revision: string;
}

/** A signing key that is ready to be used; kept as a KeyObject, which halves the cost of an HMAC. */
export interface SigningKey {
  key: KeyObject;
  expiresAtMs: number;
}

/** A webhook as the delivery of an event needs it, with nothing left to parse or decrypt. */
export interface RegisteredWebhook {
  id: string;
  ownerId: string | null;
  events: readonly string[];
  target: OutboundTarget;
  signingKeys: readonly SigningKey[];
  /** Names and values in turn. */
  headers: readonly string[];
  active: boolean;
  disabledReason: string | null;
  timeoutMs: number;
  retryPolicy: RetryPolicy;
}

interface Defaults {
  secretsKey: Buffer;
  delivery: { timeoutMs: number; retryScheduleMs: number[] };
}

/** @throws if the secrets were sealed with another key */
export function registeredWebhook(row: WebhookRow, defaults: Defaults): RegisteredWebhook {
  return {
    id: row.id,
    ownerId: row.owner_id,
    events: row.events,
    target: targetOf(new URL(row.url)),
    signingKeys: openSecrets(defaults.secretsKey, row.id, row.sealed_secrets).map(signingKey),
    headers: Object.entries(openHeaders(defaults.secretsKey, row.id, row.sealed_headers)).flat(),
    active: row.active,
    disabledReason: row.disabled_reason,
    timeoutMs: row.timeout_ms ?? defaults.delivery.timeoutMs,
    retryPolicy: row.retry_policy ?? { schedule: defaults.delivery.retryScheduleMs },
  };
}

export const openSecrets = (key: Buffer, webhookId: string, sealed: string): SigningSecret[] =>
  JSON.parse(open(key, webhookId, sealed)) as SigningSecret[];

export const openHeaders = (
  key: Buffer,
  webhookId: string,
  sealed: string | null,
): Record<string, string> =>
  sealed === null ? {} : (JSON.parse(open(key, webhookId, sealed)) as Record<string, string>);

const signingKey = ({ key, expiresAt }: SigningSecret): SigningKey => ({
  key: createSecretKey(Buffer.from(key, 'base64')),
  expiresAtMs: expiresAt ? Date.parse(expiresAt) : Number.POSITIVE_INFINITY,
});

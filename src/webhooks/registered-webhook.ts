import { createSecretKey, type KeyObject } from 'node:crypto';
import type { RetryPolicy } from '../shared/retry-policy.js';
import { open } from '../shared/secret-box.js';
import { type TlsMaterial, type TlsSettings, tlsSettings } from '../outbound/tls-settings.js';
import { type OutboundTarget, targetOf } from '../outbound/webhook-url.js';
import { needsExclusiveLease, type DispatchPolicy } from './dispatch-policy.dto.js';
import type { SigningSecret } from './signing-secret.js';

/** A row of `webhooks` as the cache reads it. */
export interface WebhookRow {
  id: string;
  owner_id: string | null;
  url: string;
  events: string[];
  sealed_secrets: string;
  sealed_headers: string | null;
  sealed_tls: string | null;
  active: boolean;
  disabled_reason: string | null;
  timeout_ms: number | null;
  retry_policy: RetryPolicy | null;
  rate_limit: DispatchPolicy['rateLimit'];
  max_concurrency: number | null;
  ordering: DispatchPolicy['ordering'];
  batch: DispatchPolicy['batch'];
  deleted: boolean;
  revision: string;
}

/** A signing key that is ready to be used; kept as a KeyObject, which halves the cost of an HMAC. */
export interface SigningKey {
  key: KeyObject;
  expiresAtMs: number;
}

/** A webhook as workers need it, parsed and decrypted. */
export interface RegisteredWebhook extends DispatchPolicy {
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
  /** One node at a time serves it, and pulls its deferred deliveries. */
  needsExclusiveLease: boolean;
}

interface Defaults {
  secretsKey: Buffer;
  delivery: { timeoutMs: number; retryScheduleMs: number[] };
}

/**
 * A webhook whose secrets were sealed with another key. Nothing can be sent to it; its deliveries are
 * deferred, as if it had been switched off by its owner.
 */
export const unusableWebhook = (row: WebhookRow, defaults: Defaults): RegisteredWebhook => ({
  ...settingsOf(row, defaults),
  target: targetOf(new URL(row.url)),
  signingKeys: [],
  headers: [],
  active: false,
});

/** @throws if the secrets were sealed with another key */
export const registeredWebhook = (row: WebhookRow, defaults: Defaults): RegisteredWebhook => ({
  ...settingsOf(row, defaults),
  target: targetOf(new URL(row.url), registeredTls(defaults.secretsKey, row)),
  signingKeys: openSecrets(defaults.secretsKey, row.id, row.sealed_secrets).map(signingKey),
  headers: Object.entries(openHeaders(defaults.secretsKey, row.id, row.sealed_headers)).flat(),
});

function settingsOf(
  row: WebhookRow,
  defaults: Defaults,
): Omit<RegisteredWebhook, 'signingKeys' | 'headers' | 'target'> {
  const policy: DispatchPolicy = {
    rateLimit: row.rate_limit,
    maxConcurrency: row.max_concurrency,
    ordering: row.ordering,
    batch: row.batch,
  };
  return {
    id: row.id,
    ownerId: row.owner_id,
    events: row.events,
    active: row.active,
    disabledReason: row.disabled_reason,
    timeoutMs: row.timeout_ms ?? defaults.delivery.timeoutMs,
    retryPolicy: row.retry_policy ?? { schedule: defaults.delivery.retryScheduleMs },
    ...policy,
    needsExclusiveLease: needsExclusiveLease(policy),
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

export const openTls = (key: Buffer, webhookId: string, sealed: string | null): TlsMaterial =>
  sealed === null ? {} : (JSON.parse(open(key, webhookId, sealed)) as TlsMaterial);

function registeredTls(
  key: Buffer,
  { id, sealed_tls: sealed }: WebhookRow,
): TlsSettings | undefined {
  return sealed === null ? undefined : tlsSettings(openTls(key, id, sealed));
}

const signingKey = ({ key, expiresAt }: SigningSecret): SigningKey => ({
  key: createSecretKey(Buffer.from(key, 'base64')),
  expiresAtMs: expiresAt ? Date.parse(expiresAt) : Number.POSITIVE_INFINITY,
});

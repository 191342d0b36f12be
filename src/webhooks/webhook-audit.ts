import { changesOf, type Changes, given, MASK, maskedUrl, maskedValues } from '../shared/audit.js';
import type { WebhookEntity } from '../database/entities/webhook.entity.js';
import { shownTls, type TlsMaterial } from '../outbound/tls-settings.js';
import { openHeaders, openTls } from './registered-webhook.js';

/** What the audit log may show of a webhook; all other fields are shown as they are. */
const SHOWN = {
  url: maskedUrl,
  headers: maskedValues,
  tls: (tls: TlsMaterial) => ({ ...shownTls(tls), privateKey: tls.privateKey ? MASK : null }),
};

/** The changes between two states of a webhook; without `before`: of its registration. */
export const webhookChanges = (
  secretsKey: Buffer,
  before: WebhookEntity | undefined,
  after: WebhookEntity,
): Changes => changesOf(before ? allOf(secretsKey, before) : {}, allOf(secretsKey, after), SHOWN);

/** What it was when it was deleted. Nothing is decrypted: its secrets may be those of a lost key. */
export const deletedWebhook = (webhook: WebhookEntity): Changes =>
  changesOf(plainOf(webhook), {}, SHOWN);

export const rotatedSecret = (overlapMs: number): Changes => ({
  secret: { old: MASK, new: MASK },
  ...given({ overlapMs }),
});

function allOf(secretsKey: Buffer, webhook: WebhookEntity): Record<string, unknown> {
  const { id, sealedHeaders, sealedTls } = webhook;
  return {
    ...plainOf(webhook),
    headers: readable(() => openHeaders(secretsKey, id, sealedHeaders)),
    tls: readable(() => openTls(secretsKey, id, sealedTls)),
  };
}

const plainOf = (webhook: WebhookEntity): Record<string, unknown> => ({
  url: webhook.url,
  events: webhook.events,
  name: webhook.name,
  description: webhook.description,
  active: webhook.active,
  disabledReason: webhook.disabledReason,
  timeoutMs: webhook.timeoutMs,
  retryPolicy: webhook.retryPolicy,
  rateLimit: webhook.rateLimit,
  maxConcurrency: webhook.maxConcurrency,
  ordering: webhook.ordering,
  batch: webhook.batch,
});

/** Null: there is none, or it was encrypted with another key, and is replaced by this change. */
function readable<T extends object>(open: () => T): T | null {
  try {
    const opened = open();
    return Object.keys(opened).length === 0 ? null : opened;
  } catch {
    return null;
  }
}

import { VERSION } from '../common/version.js';
import type { OutboundRequest } from '../outbound/pending-request.client.js';
import type { RegisteredWebhook } from '../webhooks/registered-webhook.js';
import { sign } from './signature.js';

const USER_AGENT = `Tidings-Webhooks/${VERSION}`;

/** What one attempt sends, apart from where it goes. */
export interface AttemptToSend {
  eventId: string;
  eventType: string;
  /** The envelope's bytes; the signature is made over exactly these. */
  body: Buffer;
  deliveryId: string;
  attempt: number;
}

/**
 * The request of one attempt: the stored bytes, and a signature made for this moment, because
 * receivers refuse an old timestamp (Standard Webhooks).
 */
export function webhookRequest(
  { eventId, eventType, body, deliveryId, attempt }: AttemptToSend,
  webhook: RegisteredWebhook,
  nowMs: number,
): OutboundRequest {
  const timestamp = Math.floor(nowMs / 1000);
  const keys = webhook.signingKeys.filter(({ expiresAtMs }) => expiresAtMs > nowMs);
  return {
    url: webhook.target,
    // The protocol's own come last: a custom header can never stand in their place.
    headers: [
      ...webhook.headers,
      'content-type',
      'application/json',
      'user-agent',
      USER_AGENT,
      'webhook-id',
      eventId,
      'webhook-timestamp',
      String(timestamp),
      'webhook-signature',
      sign(
        eventId,
        timestamp,
        body,
        keys.map(({ key }) => key),
      ),
      'tidings-event-type',
      eventType,
      'tidings-delivery-id',
      deliveryId,
      'tidings-attempt',
      String(attempt),
    ],
    body,
    timeoutMs: webhook.timeoutMs,
  };
}

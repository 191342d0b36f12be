import { VERSION } from '../../shared/version.js';
import type { OutboundRequest } from '../../outbound/outbound-http.client.js';
import type { RegisteredWebhook } from '../../webhooks/registered-webhook.js';
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

/** What one attempt sends for several deliveries together. */
export interface BatchToSend {
  /** `bat_…`: the same on every attempt of the batch, and so what a receiver may go by. */
  batchId: string;
  /** The envelopes' bytes, in the order of the events. */
  bodies: readonly Buffer[];
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
  const about = ['tidings-event-type', eventType, 'tidings-delivery-id', deliveryId];
  return signedRequest({ id: eventId, body, attempt, about }, webhook, nowMs);
}

/**
 * The request of one attempt of a batch: a JSON array of the envelopes, each byte for byte as it would
 * be sent alone, with a signature and an id of the whole.
 */
export function batchRequest(
  { batchId, bodies, attempt }: BatchToSend,
  webhook: RegisteredWebhook,
  nowMs: number,
): OutboundRequest {
  const parts = bodies.flatMap((body, index) => (index === 0 ? [body] : [COMMA, body]));
  const body = Buffer.concat([OPEN, ...parts, CLOSE]);
  const about = ['tidings-batch-size', String(bodies.length)];
  return signedRequest({ id: batchId, body, attempt, about }, webhook, nowMs);
}

const OPEN = Buffer.from('[');
const COMMA = Buffer.from(',');
const CLOSE = Buffer.from(']');

interface Message {
  id: string;
  body: Buffer;
  attempt: number;
  /** Headers that say what it is, names and values in turn. */
  about: readonly string[];
}

function signedRequest(
  { id, body, attempt, about }: Message,
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
      id,
      'webhook-timestamp',
      String(timestamp),
      'webhook-signature',
      sign(
        id,
        timestamp,
        body,
        keys.map(({ key }) => key),
      ),
      ...about,
      'tidings-attempt',
      String(attempt),
    ],
    body,
    timeoutMs: webhook.timeoutMs,
  };
}

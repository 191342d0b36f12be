import { VERSION } from '../../shared/version.js';
import type { OutboundRequest } from '../../outbound/outbound-http.client.js';
import type { RegisteredWebhook } from '../../webhooks/registered-webhook.js';
import { createHmac, type KeyObject } from 'node:crypto';

/**
 * Standard Webhooks signatures: HMAC-SHA256 over `id.timestamp.body`, base64, one `v1,` token per
 * valid key, separated by spaces. Several tokens make secret rotation seamless: a receiver accepts
 * any that matches.
 */
export function sign(
  id: string,
  timestamp: number,
  body: Buffer,
  keys: readonly KeyObject[],
): string {
  let header = '';
  for (const key of keys) {
    const digest = createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body);
    header += `${header === '' ? '' : ' '}v1,${digest.digest('base64')}`;
  }
  return header;
}

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
  /** `bat_…`: the same on each attempt of the batch, so that receivers can use it to find duplicates. */
  batchId: string;
  /** The envelopes' bytes, in the order of the events. */
  bodies: readonly Buffer[];
  attempt: number;
}

/**
 * The request of one attempt: the stored bytes, and a signature of this moment, because receivers
 * refuse an old timestamp (Standard Webhooks).
 */
export function webhookRequest(
  { eventId, eventType, body, deliveryId, attempt }: AttemptToSend,
  webhook: RegisteredWebhook,
  nowMs: number,
): OutboundRequest {
  const describing = ['tidings-event-type', eventType, 'tidings-delivery-id', deliveryId];
  return signedRequest({ id: eventId, body, attempt, describing }, webhook, nowMs);
}

/**
 * The request of one attempt of a batch: a JSON array of the envelopes, each with the same bytes as
 * when sent alone, with one signature and one id for all of them.
 */
export function batchRequest(
  { batchId, bodies, attempt }: BatchToSend,
  webhook: RegisteredWebhook,
  nowMs: number,
): OutboundRequest {
  const parts = bodies.flatMap((body, index) => (index === 0 ? [body] : [COMMA, body]));
  const body = Buffer.concat([OPEN, ...parts, CLOSE]);
  const describing = ['tidings-batch-size', String(bodies.length)];
  return signedRequest({ id: batchId, body, attempt, describing }, webhook, nowMs);
}

const OPEN = Buffer.from('[');
const COMMA = Buffer.from(',');
const CLOSE = Buffer.from(']');

interface Message {
  id: string;
  body: Buffer;
  attempt: number;
  /** Headers that describe the content, names and values in turn. */
  describing: readonly string[];
}

function signedRequest(
  { id, body, attempt, describing }: Message,
  webhook: RegisteredWebhook,
  nowMs: number,
): OutboundRequest {
  const timestamp = Math.floor(nowMs / 1000);
  const keys = webhook.signingKeys.filter(({ expiresAtMs }) => expiresAtMs > nowMs);
  return {
    ownerKey: webhook.ownerId ?? '',
    url: webhook.target,
    // Those of the protocol come last, so that no custom header replaces them.
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
      ...describing,
      'tidings-attempt',
      String(attempt),
    ],
    body,
    timeoutMs: webhook.timeoutMs,
  };
}

import { withOwner } from '../../shared/envelope.js';
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

/** An event as it is sent. */
export interface EventToSend {
  id: string;
  /** Null: a public event. */
  ownerId: string | null;
  type: string;
  /** The envelope's bytes; the signature is made over exactly these. */
  body: Buffer;
}

/** What one attempt sends, apart from where it goes. */
export interface AttemptToSend {
  event: EventToSend;
  deliveryId: string;
  attempt: number;
}

/** What one attempt sends for several deliveries together. */
export interface BatchToSend {
  /** `bat_…`: the same on each attempt of the batch, so that receivers can use it to find duplicates. */
  batchId: string;
  /** In order. */
  events: readonly EventToSend[];
  attempt: number;
}

/**
 * The request of one attempt: the stored bytes, and a signature of this moment, because receivers
 * refuse an old timestamp (Standard Webhooks).
 */
export function webhookRequest(
  { event, deliveryId, attempt }: AttemptToSend,
  webhook: RegisteredWebhook,
  nowMs: number,
): OutboundRequest {
  const describing = ['tidings-event-type', event.type, 'tidings-delivery-id', deliveryId];
  const body = bodyFor(webhook, event);
  return signedRequest({ id: event.id, body, attempt, describing }, webhook, nowMs);
}

/**
 * The request of one attempt of a batch: a JSON array of the envelopes, each with the same bytes as
 * when sent alone, with one signature and one id for all of them.
 */
export function batchRequest(
  { batchId, events, attempt }: BatchToSend,
  webhook: RegisteredWebhook,
  nowMs: number,
): OutboundRequest {
  const parts = events.flatMap((event, index) =>
    index === 0 ? [bodyFor(webhook, event)] : [COMMA, bodyFor(webhook, event)],
  );
  const body = Buffer.concat([OPEN, ...parts, CLOSE]);
  const describing = ['tidings-batch-size', String(events.length)];
  return signedRequest({ id: batchId, body, attempt, describing }, webhook, nowMs);
}

/** The operator's webhooks receive the events of all owners, so theirs name the owner. */
const bodyFor = ({ ownerId }: RegisteredWebhook, event: EventToSend): Buffer =>
  ownerId === null && event.ownerId !== null
    ? Buffer.from(withOwner(event.body.toString('utf8'), event.ownerId))
    : event.body;

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

import { decodeBase64, encodeBase64 } from './base64.js';
import type { TidingsEvent } from './events.js';

/** Why a request was not accepted. */
export type WebhookProblem =
  /** A header is missing or repeated; the message names it. */
  | 'missing_header'
  /** `webhook-timestamp` is not a number of seconds. */
  | 'invalid_timestamp'
  /** Signed too long ago: an old request that was sent again by a third party, or a wrong clock. */
  | 'too_old'
  /** Signed in the future: one of the clocks is wrong. */
  | 'too_new'
  /** None of the signatures was made with one of the secrets. */
  | 'no_matching_signature'
  /** The signature is valid, but the body is not JSON. */
  | 'invalid_payload'
  /** A secret is malformed or missing: an error in the receiver's own configuration. */
  | 'invalid_secret';

/** Answer with 400, or 500 if `code` is `invalid_secret`; Tidings tries again later. */
export class WebhookVerificationError extends Error {
  override readonly name = 'WebhookVerificationError';

  constructor(
    readonly code: WebhookProblem,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** `Headers` of the platform, or an object like Node's `request.headers`. */
export type WebhookHeaders =
  | { get(name: string): string | null }
  | Readonly<Record<string, string | readonly string[] | undefined>>;

export interface VerifyOptions {
  /** How far `webhook-timestamp` may be from now, in seconds. Default 300. */
  toleranceSeconds?: number;
  /** The current time in milliseconds since 1970. Default: the platform's clock. */
  now?: number;
}

/**
 * Verifies that the sender of a request has the secret (Standard Webhooks), and returns the event.
 * Delivery is at least once: to process an event only once, store `event.id`, which is the same in
 * every copy.
 *
 * @param payload the body as it was received: text or bytes, never a parsed object, whose text would differ
 * @param secrets one, or several during a rotation: `whsec_…`, or the plain text with which the webhook was
 * registered
 * @throws WebhookVerificationError
 */
export async function verifyWebhook<Event = TidingsEvent>(
  payload: string | Uint8Array | ArrayBuffer,
  headers: WebhookHeaders,
  secrets: string | readonly string[],
  { toleranceSeconds = 300, now = Date.now() }: VerifyOptions = {},
): Promise<Event> {
  const body = bytesOf(payload);
  const keys = (typeof secrets === 'string' ? [secrets] : secrets).map(keyOf);
  if (keys.length === 0)
    throw new WebhookVerificationError('invalid_secret', 'No secret was given.');

  const id = header(headers, 'webhook-id');
  const timestamp = header(headers, 'webhook-timestamp');
  checkTimestamp(timestamp, now / 1000, toleranceSeconds);
  const given = signaturesIn(header(headers, 'webhook-signature'));

  const signed = concatenated(new TextEncoder().encode(`${id}.${timestamp}.`), body);
  for (const key of keys) {
    const expected = await signature(key, signed);
    if (given.some((one) => isEqual(one, expected))) return parsed(body) as Event;
  }
  const message = 'No signature was made with one of the secrets.';
  throw new WebhookVerificationError('no_matching_signature', message);
}

function bytesOf(payload: unknown): Uint8Array<ArrayBuffer> {
  if (typeof payload === 'string') return new TextEncoder().encode(payload);
  if (payload instanceof Uint8Array) return new Uint8Array(payload);
  if (payload instanceof ArrayBuffer) return new Uint8Array(payload);
  throw new TypeError(
    'payload must be the body as it was received: text or bytes, not parsed JSON',
  );
}

const PREFIX = 'whsec_';

function keyOf(secret: string): Uint8Array<ArrayBuffer> {
  const isEncoded = typeof secret === 'string' && secret.startsWith(PREFIX);
  const key = isEncoded
    ? decodeBase64(secret.slice(PREFIX.length))
    : new TextEncoder().encode(secret);
  if (key && key.length > 0) return key;
  // The message must not contain the secret: it may be logged.
  throw new WebhookVerificationError('invalid_secret', 'A secret is not whsec_ and base64.');
}

function header(headers: WebhookHeaders, name: string): string {
  const value = valuesOf(headers, name);
  if (value.length === 1 && value[0]) return value[0];
  const problem = value.length > 1 ? 'is there more than once' : 'is missing';
  throw new WebhookVerificationError('missing_header', `${name} ${problem}`);
}

function valuesOf(headers: WebhookHeaders, name: string): string[] {
  if (isHeaders(headers)) {
    const value = headers.get(name);
    return value === null ? [] : [value];
  }
  return Object.entries(headers)
    .filter(([key]) => key.toLowerCase() === name)
    .flatMap(([, value]) => value ?? []);
}

const isHeaders = (headers: WebhookHeaders): headers is { get(name: string): string | null } =>
  typeof headers.get === 'function';

function checkTimestamp(text: string, now: number, tolerance: number): void {
  if (!/^\d{1,12}$/.test(text)) {
    const message = 'webhook-timestamp is not a number of seconds';
    throw new WebhookVerificationError('invalid_timestamp', message);
  }
  const age = now - Number(text);
  if (age > tolerance) {
    throw new WebhookVerificationError('too_old', `The request is ${Math.round(age)} s old.`);
  }
  if (-age > tolerance) {
    const message = `The request is from ${Math.round(-age)} s in the future.`;
    throw new WebhookVerificationError('too_new', message);
  }
}

/** The signatures of version 1; the header may contain other versions too. */
const signaturesIn = (text: string): Uint8Array[] =>
  text
    .split(' ')
    .filter((token) => token.startsWith('v1,'))
    .map((token) => new TextEncoder().encode(token.slice('v1,'.length)));

/** The signature in base64, as it is sent. */
async function signature(
  key: Uint8Array<ArrayBuffer>,
  signed: Uint8Array<ArrayBuffer>,
): Promise<Uint8Array> {
  const algorithm = { name: 'HMAC', hash: 'SHA-256' };
  const { subtle } = globalThis.crypto;
  const imported = await subtle.importKey('raw', key, algorithm, false, ['sign']);
  const mac = new Uint8Array(await subtle.sign('HMAC', imported, signed));
  return new TextEncoder().encode(encodeBase64(mac));
}

/** Compares in constant time, so that timing reveals nothing about the signature. */
function isEqual(one: Uint8Array, other: Uint8Array): boolean {
  if (one.length !== other.length) return false;
  let difference = 0;
  for (const [index, byte] of one.entries()) difference |= byte ^ (other[index] ?? 0);
  return difference === 0;
}

function concatenated(head: Uint8Array, tail: Uint8Array): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(head.length + tail.length);
  whole.set(head);
  whole.set(tail, head.length);
  return whole;
}

function parsed(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(body));
  } catch (cause) {
    throw new WebhookVerificationError('invalid_payload', 'The body is not JSON.', { cause });
  }
}

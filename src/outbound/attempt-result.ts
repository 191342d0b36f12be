/**
 * The result of one HTTP request, as a value: a remote failure is never an exception.
 *
 * The names of failures, and a sentence for each, are all that a customer sees. They hold no address
 * and nothing about a host that the address policy refuses; otherwise any user who can register a
 * webhook could use the delivery log to look into the network of the installation.
 */
export type AttemptError =
  /** The name could not be resolved, or to no address that the policy allows: one looks like the other. */
  | 'dns'
  /** No TCP connection: refused, unreachable, or reset while opening. */
  | 'connect'
  /** The TLS handshake failed: certificate, host name, protocol version. */
  | 'tls'
  /** The deadline passed before the status line and headers were complete. */
  | 'timeout'
  /** The connection was open and broke before the first byte of a response. */
  | 'http'
  /** The address or port in the URL is refused; nothing was sent. */
  | 'blocked'
  /** The server sent something that is not a complete HTTP response. */
  | 'bad_response';

/** Status and headers arrived. What happens to the body afterwards does not change the kind. */
export interface Responded {
  kind: 'responded';
  statusCode: number;
  /** From the call to the end of the body, or to where reading stopped. */
  durationMs: number;
  /** The part of the body that was read, at most {@link MAX_RESPONSE_BYTES}; null without a body. */
  body: string | null;
  /** The `Retry-After` header as sent. Untrusted input: validate before use. */
  retryAfter: string | null;
  isResent?: Resent;
}

/** Why there is no usable response. */
export interface FailureReason {
  error: AttemptError;
  /** What failed, in one sentence for the owner of the webhook. */
  message: string;
  /** More about it for operators: it may hold addresses and system errors. */
  detail?: string;
}

/** No usable response. */
export interface Failed extends FailureReason {
  kind: 'failed';
  durationMs: number;
  isResent?: Resent;
}

/**
 * Present when the request was sent twice: the receiver closed the connection, which had been used
 * before, without a byte of an answer, and the request was sent once more over a new one (RFC 9112,
 * 9.3.1). Both are one attempt.
 */
export type Resent = true;

/** What an attempt gives. */
export type AttemptResult = Responded | Failed;

/**
 * The request was not sent, and the receiver has no part in that. It is no attempt, and says nothing
 * about the webhook.
 */
export interface Unsent {
  kind: 'unsent';
  reason: UnsentReason;
}

/** Why, as the delivery shows it. */
export type UnsentReason =
  /** The client is closed. */
  | 'stopping'
  /** Too many names of the same owner are being looked up. */
  | 'dns_busy'
  /** The egress proxy cannot be reached, does not answer, or does not accept our credentials. */
  | 'proxy_unavailable';

export const unsent = (reason: UnsentReason): Unsent => ({ kind: 'unsent', reason });

/** The error class of an attempt, from a small fixed vocabulary; null for a 2xx. */
export function errorOf(result: AttemptResult): string | null {
  if (result.kind === 'failed') return result.error;
  return result.statusCode >= 200 && result.statusCode < 300 ? null : 'http';
}

/** An error that knows what a customer sees of it; `unsent`: it makes no attempt. */
export abstract class AttemptFailure extends Error {
  abstract readonly failure: FailureReason | Unsent;
}

/** Reading stops here: a longer response costs the server its connection. */
export const MAX_RESPONSE_BYTES = 16 * 1024;

/** An HTTP date has 29 characters; anything much longer is not a `Retry-After`. */
const MAX_RETRY_AFTER_LENGTH = 64;

/** PostgreSQL text cannot hold NUL, and the stores join bulk parameters with U+001E and U+001F. */
const UNSTORABLE = ['\0', '\x1e', '\x1f'];

/** The bytes of a body as storable text: lossy UTF-8, at most as many characters as bytes. */
export function bodyText(bytes: Buffer): string | null {
  if (bytes.length === 0) return null;
  return storable(bytes.toString('utf8', 0, Math.min(bytes.length, MAX_RESPONSE_BYTES)));
}

/** A `Retry-After`, bounded and storable. */
export function retryAfterText(header: string | undefined): string | null {
  return header === undefined ? null : storable(header.slice(0, MAX_RETRY_AFTER_LENGTH));
}

/** Searches before it replaces: on the hot path nearly every text is short and clean. */
function storable(text: string): string {
  let clean = text;
  for (const character of UNSTORABLE) {
    if (clean.includes(character)) clean = clean.replaceAll(character, '\ufffd');
  }
  return clean;
}

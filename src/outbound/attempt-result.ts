/**
 * The result of one HTTP request, as a value: a remote failure is never an exception.
 *
 * The names of failures are all that a customer sees. They hold no address, port or system error;
 * otherwise any user who can register a webhook could use the delivery log as a port scanner.
 */
export type AttemptError =
  /** The name could not be resolved. */
  | 'dns'
  /** No TCP connection: refused, unreachable, or reset while opening. */
  | 'connect'
  /** The TLS handshake failed: certificate, host name, protocol version. */
  | 'tls'
  /** The deadline passed before the status line and headers were complete. */
  | 'timeout'
  /** The connection was open and broke before the first byte of a response. */
  | 'http'
  /** The address policy refused the target; nothing was sent. */
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

/** No usable response. */
export interface Failed {
  kind: 'failed';
  error: AttemptError;
  durationMs: number;
  isResent?: Resent;
}

/**
 * Present when the request was sent twice: the receiver closed the connection, which had been used
 * before, without a byte of an answer, and the request was sent once more over a new one (RFC 9112,
 * 9.3.1). Both are one attempt.
 */
export type Resent = true;

export type AttemptResult = Responded | Failed;

/**
 * The request was not sent, and the receiver has no part in that: the client is closed, or too many
 * names of the same owner are being looked up. It is no attempt, and says nothing about the webhook.
 */
export interface Unsent {
  kind: 'unsent';
}

export const UNSENT: Unsent = Object.freeze({ kind: 'unsent' });

/** The error class of an attempt, from a small fixed vocabulary; null for a 2xx. */
export function errorOf(result: AttemptResult): string | null {
  if (result.kind === 'failed') return result.error;
  return result.statusCode >= 200 && result.statusCode < 300 ? null : 'http';
}

/** An error that knows under which name a customer sees it; `unsent`: it makes no attempt. */
export abstract class AttemptFailure extends Error {
  abstract readonly attemptError: AttemptError | 'unsent';
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

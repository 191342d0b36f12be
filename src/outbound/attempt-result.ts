/**
 * What came of one HTTP request, as a value: a remote failure is never an exception.
 *
 * The vocabulary of failures is all that a customer ever sees. It holds no address, port or system
 * error, else the delivery log would be a port scanner for whoever may register a webhook.
 */
export type AttemptError =
  /** The name could not be resolved. */
  | 'dns'
  /** No TCP connection came about: refused, unreachable, reset while opening. */
  | 'connect'
  /** The TLS handshake failed: certificate, host name, protocol version. */
  | 'tls'
  /** The deadline passed before the status line and headers were complete. */
  | 'timeout'
  /** The connection was open and broke before any answer. */
  | 'http'
  /** The address policy refused the target; nothing was sent. */
  | 'blocked'
  /** Something was answered that is not a complete HTTP response. */
  | 'bad_response';

/** Status and headers arrived. Whatever happened to the body afterwards changes nothing. */
export interface Responded {
  kind: 'responded';
  statusCode: number;
  /** From the call to the end of the body, or to where reading stopped. */
  durationMs: number;
  /** What was read of the body, at most {@link MAX_RESPONSE_BYTES}; null when there was none. */
  body: string | null;
  /** The `Retry-After` header as sent: judge it as hostile. */
  retryAfter: string | null;
}

/** No usable response. */
export interface Failed {
  kind: 'failed';
  error: AttemptError;
  durationMs: number;
}

export type AttemptResult = Responded | Failed;

/** More of a response body is never read: the connection is dropped instead. */
export const MAX_RESPONSE_BYTES = 16 * 1024;

/** An HTTP date has 29 characters; anything much longer is not a `Retry-After`. */
const MAX_RETRY_AFTER_LENGTH = 64;

/** PostgreSQL text cannot hold NUL, and the stores join bulk parameters with U+001E and U+001F. */
const UNSTORABLE = ['\0', '\x1e', '\x1f'];

/** Bytes of a body as text that can be stored: lossy UTF-8, at most as many characters as bytes. */
export function bodyText(bytes: Buffer): string | null {
  if (bytes.length === 0) return null;
  return storable(bytes.toString('utf8', 0, Math.min(bytes.length, MAX_RESPONSE_BYTES)));
}

/** A `Retry-After`, bounded and storable. */
export function retryAfterText(header: string | undefined): string | null {
  return header === undefined ? null : storable(header.slice(0, MAX_RETRY_AFTER_LENGTH));
}

/** Looks before it replaces: nearly every answer is short and clean, and there are very many. */
function storable(text: string): string {
  let kept = text;
  for (const character of UNSTORABLE) {
    if (kept.includes(character)) kept = kept.replaceAll(character, '\ufffd');
  }
  return kept;
}

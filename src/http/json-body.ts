/**
 * Parses a request's body. Stricter than a parser alone: bytes that are not UTF-8 would be replaced
 * silently and delivered as something else, and a member called `__proto__` is dangerous to code that
 * merges objects.
 */
import { isUtf8 } from 'node:buffer';
import { AppError, InvalidInputError, readable } from '../shared/app-error.js';

const CHARSET = /;\s*charset\s*=\s*"?([^\s;"]*)/i;
/** RFC 8259, 8.1: JSON that is exchanged is UTF-8; ASCII is a part of it. */
const CHARSETS = new Set(['utf-8', 'utf8', 'us-ascii']);

const IDENTITY = 'identity';

/** Plain, or with an escape for any of its letters: has to be checked after parsing. */
const MAYBE_PROTO = /__proto__|\\u00[567]/i;

/**
 * @returns undefined for an empty body: some clients name a content type whatever they send
 * @throws AppError `unsupported_charset`, `unsupported_encoding`, `malformed_json`; InvalidInputError
 * for `__proto__`
 */
export function jsonBody(
  bytes: Buffer,
  contentType: string | undefined,
  contentEncoding = IDENTITY,
): unknown {
  // RFC 9110, 15.5.16. A few bytes could be inflated to a thousand times the largest body.
  if (contentEncoding.trim().toLowerCase() !== IDENTITY) {
    const detail = 'A body is sent as it is, without a Content-Encoding.';
    throw new AppError('unsupported', 'unsupported_encoding', detail);
  }
  const charset = CHARSET.exec(contentType ?? '')?.[1]?.toLowerCase();
  if (charset !== undefined && !CHARSETS.has(charset)) {
    throw new AppError('malformed', 'unsupported_charset', 'JSON is sent in UTF-8.');
  }
  if (bytes.length === 0) return undefined;
  if (!isUtf8(bytes)) throw malformed('it is not UTF-8');
  const text = bytes.toString('utf8').replace(/^\ufeff/, '');
  return parsed(text, MAYBE_PROTO.test(text) ? refuseProto : undefined);
}

function parsed(text: string, reviver?: (key: string, value: unknown) => unknown): unknown {
  try {
    return JSON.parse(text, reviver) as unknown;
  } catch (error) {
    if (error instanceof AppError) throw error;
    throw malformed(error instanceof Error ? error.message : 'it cannot be read');
  }
}

function refuseProto(key: string, value: unknown): unknown {
  if (key === '__proto__') throw InvalidInputError.at(key, 'is not an acceptable name');
  return value;
}

const malformed = (reason: string): AppError =>
  new AppError('malformed', 'malformed_json', `The body is not valid JSON: ${readable(reason)}.`);

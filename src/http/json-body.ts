/**
 * Parses a request's body. Stricter than a parser alone: bytes that are not UTF-8, numbers that a
 * double cannot hold and names that occur twice would be replaced silently and delivered as something
 * else, and a member called `__proto__` is dangerous to code that merges objects.
 */
import { isUtf8 } from 'node:buffer';
import { AppError, InvalidInputError, readable } from '../shared/app-error.js';
import { fieldErrors } from '../shared/field-errors.js';
import { jsonTextProblem } from '../shared/json-text.js';

const CHARSET = /;\s*charset\s*=\s*"?([^\s;"]*)/i;
/** RFC 8259, 8.1: JSON that is exchanged is UTF-8; ASCII is a part of it. */
const CHARSETS = new Set(['utf-8', 'utf8', 'us-ascii']);

const IDENTITY = 'identity';

/** A body, and its text: what must be delivered as it was sent is cut out of the text. */
export interface JsonBody {
  value: unknown;
  text: string;
}

/**
 * @returns undefined for an empty body: some clients name a content type whatever they send
 * @throws AppError `unsupported_charset`, `unsupported_encoding`, `malformed_json`; InvalidInputError
 * for a number or a name that {@link jsonTextProblem} finds
 */
export function jsonBody(
  bytes: Buffer,
  contentType: string | undefined,
  contentEncoding = IDENTITY,
): JsonBody | undefined {
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
  const value = parsed(text);
  const problem = jsonTextProblem(text);
  if (problem) throw new InvalidInputError(fieldErrors([problem]));
  return { value, text };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw malformed(error instanceof Error ? error.message : 'it cannot be read');
  }
}

const malformed = (reason: string): AppError =>
  new AppError('malformed', 'malformed_json', `The body is not valid JSON: ${readable(reason)}.`);

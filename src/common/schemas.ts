/**
 * Pieces that the request and response schemas are built from. Every rule stands here once, and
 * the schema is at the same time the validation, the type and the API documentation.
 */
import { z } from 'zod';
import { EVENT_PATTERN, EVENT_TYPE, MAX_TYPE_LENGTH } from './event-pattern.js';

/** PostgreSQL text cannot hold NUL, UTF-8 cannot hold a lone surrogate, and logs are line based. */
const PLAIN_TEXT = /^[^\p{Cc}\p{Cs}]*$/u;

/** An owner id is compared by eye and by code: nothing invisible may tell two of them apart. */
const OWNER_ID = /^[^\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]+$/u;

/** Most patterns that one credential or one subscription may name. */
export const MAX_PATTERNS = 100;

/** One line of 1 to `max` UTF-16 code units, without control characters or lone surrogates. */
export const plainText = (max: number) =>
  z
    .string()
    .min(1)
    .max(max)
    .regex(PLAIN_TEXT, 'must not contain control characters or lone surrogates');

/** The id of an owner, which is the `sub` of its tokens. */
export const ownerId = z
  .string()
  .min(1)
  .max(128)
  .regex(OWNER_ID, 'must not contain control characters or invisible characters');

/** A dotted event type such as `trade.submitted`. */
export const eventType = z
  .string()
  .max(MAX_TYPE_LENGTH)
  .regex(EVENT_TYPE, 'must be segments of letters, digits, _ and -, joined by dots');

/** An event type, a type followed by `.*`, or `*`. */
export const eventPattern = z
  .string()
  .max(MAX_TYPE_LENGTH)
  .regex(EVENT_PATTERN, 'must be an event type, a type followed by .*, or *');

/** A point in time that we answer: RFC 3339, UTC, milliseconds, as `Date.toISOString()` writes it. */
export const timestamp = z.iso.datetime({ precision: 3 });

/** A point in time that a caller gives: RFC 3339 with any offset; comes out as a `Date`. */
export const timestampInput = z.iso
  .datetime({ offset: true, error: 'must be an RFC 3339 time such as 2026-01-31T12:00:00.000Z' })
  .max(40)
  .transform((text) => new Date(text));

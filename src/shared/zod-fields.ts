/**
 * Fields that the request and response schemas are built from. Each schema is at the same time the
 * validation, the type and the API documentation.
 */
import { z } from 'zod';
import { EVENT_PATTERN, EVENT_TYPE, MAX_TYPE_LENGTH } from './event-pattern.js';
import { type IdPrefix, isId } from './ids.js';
import { parseTimestamp } from './timestamp.js';

/**
 * PostgreSQL text cannot hold NUL, UTF-8 cannot hold a lone surrogate, and logs are line based. Not a
 * pattern of the API's schemas: the regular expressions of many languages know no `\p{…}`.
 */
const PLAIN_TEXT = /^[^\p{Cc}\p{Cs}]*$/u;

/** People compare owner ids too: two of them must not differ by an invisible character. */
const OWNER_ID = /^[^\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]+$/u;

/** Most patterns that one credential or one subscription may name. */
export const MAX_PATTERNS = 100;

/** One line of 1 to `max` UTF-16 code units, without control characters or lone surrogates. */
export const plainText = (max: number) =>
  z
    .string()
    .min(1)
    .max(max)
    .refine(
      (text) => PLAIN_TEXT.test(text),
      'must not contain control characters or lone surrogates',
    );

const partyId = () =>
  z
    .string()
    .min(1)
    .max(128)
    .refine(
      (id) => OWNER_ID.test(id),
      'must not contain control characters or invisible characters',
    )
    .refine((id) => !id.startsWith('$'), 'must not start with $, which is reserved');

/** The id of a user inside a tenant, which is the `sub` of its tokens. */
export const userId = partyId();

/** The id of an owner (tenant). A token that names no tenant is that of its `sub`. */
export const ownerId = partyId();

/** The filters of every list of things that belong to owners; two names for one. */
export const ownerFilter = {
  tenant: ownerId
    .optional()
    .describe('Only those of this owner (tenant). Callers that reach one owner name no other.'),
  ownerId: ownerId.optional().describe('The same as `tenant`.'),
};
/** {@link ownerFilter} in a query. */
export interface OwnerFilter {
  tenant?: string | undefined;
  ownerId?: string | undefined;
}

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

/** A point in time in a response: RFC 3339, UTC, milliseconds, as `Date.toISOString()` writes it. */
export const timestamp = z.iso.datetime({ precision: 3 });

const NOT_A_TIME = 'must be an RFC 3339 time such as 2026-01-31T12:00:00.000Z';

/** A point in time in a request: RFC 3339 with any offset; becomes a `Date`. */
export const timestampInput = z
  .string()
  .max(40)
  .transform((text, context) => {
    const time = parseTimestamp(text);
    if (time) return time;
    context.addIssue({ code: 'custom', message: NOT_A_TIME });
    return z.NEVER;
  })
  .meta({ format: 'date-time' });

/** The id of a webhook, delivery, …: the prefix, `_` and 26 characters. */
export const idOf = (prefix: IdPrefix) =>
  z.string().refine((value) => isId(prefix, value), `must be an id such as ${exampleId(prefix)}`);

/** What an id of this kind looks like, for documentation. */
export const exampleId = (prefix: IdPrefix): string => `${prefix}_01h455vb4pex5vsknk084sn02q`;

/** A whole number in a query string: digits and nothing else, where `Number` would take `0x10`. */
export const queryInt = (min: number, max: number) =>
  z.preprocess(
    (text) => (typeof text === 'string' && /^\d{1,9}$/.test(text) ? Number(text) : text),
    z.int(`must be a whole number from ${min} to ${max}`).min(min).max(max),
  );

/**
 * Pages by key, not by offset: a page starts after the last row of the one before, so rows that are
 * inserted meanwhile are neither skipped nor repeated. The cursor is opaque to the caller.
 */
import { z } from 'zod';
import { InvalidInputError } from './app-error.js';
import { queryInt } from './zod-fields.js';

const MAX_LIMIT = 200;
const DEFAULT_LIMIT = 50;

/** The query parameters of every list; extend it with `.extend({...})` for filters. */
export const PageQuery = z.strictObject({
  limit: queryInt(1, MAX_LIMIT)
    .default(DEFAULT_LIMIT)
    .describe('Most items of a page, 1 to 200.')
    .meta({ default: DEFAULT_LIMIT }),
  cursor: z
    .string()
    .min(1)
    .max(512)
    .optional()
    .describe('`nextCursor` of the page before; absent: the first page.'),
});

/** The response schema of a list of these items. */
export const pageOf = <T extends z.ZodType>(item: T) =>
  z.object({
    data: z.array(item).describe('The items of this page.'),
    nextCursor: z
      .string()
      .nullable()
      .describe('Give it as `cursor` to get the next page; null: this is the last one.'),
  });

export interface Page<T> {
  data: T[];
  nextCursor: string | null;
}

/** Hides a sort key (printable ASCII, at most 256 characters) from the caller. */
export const encodeCursor = (key: string): string => Buffer.from(key).toString('base64url');

/** The sort key in a cursor. @throws InvalidInputError for what {@link encodeCursor} cannot have made */
export function decodeCursor(cursor: string): string {
  const key = Buffer.from(cursor, 'base64url').toString('latin1');
  if (!/^[\x20-\x7e]{1,256}$/.test(key) || encodeCursor(key) !== cursor) {
    throw InvalidInputError.at('cursor', 'is not one that a list has answered with');
  }
  return key;
}

/**
 * Makes a page out of a query that asked for `limit + 1` rows: the extra row only says that there
 * are more.
 *
 * @param keyOf the sort key of a row; by default its id
 */
export function page<T extends { id: string }>(
  rows: readonly T[],
  limit: number,
  keyOf: (row: T) => string = (row) => row.id,
): Page<T> {
  const data = rows.slice(0, limit);
  const last = data.at(-1);
  return { data, nextCursor: rows.length > limit && last ? encodeCursor(keyOf(last)) : null };
}

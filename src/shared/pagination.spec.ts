import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InvalidInputError } from './app-error.js';
import { decodeCursor, encodeCursor, page, PageQuery } from './pagination.js';

const key = fc.string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 256 });

describe('pagination', () => {
  it('returns the sort key of a cursor', () => {
    fc.assert(fc.property(key, (text) => decodeCursor(encodeCursor(text)) === text));
  });

  it('takes only cursors that it could have made', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 64 }), (cursor) => {
        try {
          return encodeCursor(decodeCursor(cursor)) === cursor;
        } catch (error) {
          return error instanceof InvalidInputError;
        }
      }),
    );
  });

  it.each([
    '',
    '=',
    'a',
    'AA',
    'AAAA',
    '////',
    encodeCursor('key_1\u0000'),
    encodeCursor('x'.repeat(257)),
    `${encodeCursor('key_1')}=`,
  ])('refuses the cursor %j and names the field', (cursor) => {
    expect(() => decodeCursor(cursor)).toThrow(
      expect.objectContaining({
        kind: 'invalid',
        errors: [expect.objectContaining({ field: 'cursor' })],
      }),
    );
  });

  it('visits every row once, in order, whatever the page size', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.nat(999), { maxLength: 40 }),
        fc.integer({ min: 1, max: 9 }),
        (numbers, limit) => {
          const rows = numbers
            .map((n) => ({ id: String(n).padStart(3, '0') }))
            .sort((a, b) => (a.id < b.id ? -1 : 1));
          const seen: string[] = [];
          let cursor: string | null = null;
          do {
            const after: string = cursor === null ? '' : decodeCursor(cursor);
            const answer = page(rows.filter(({ id }) => id > after).slice(0, limit + 1), limit);
            seen.push(...answer.data.map(({ id }) => id));
            cursor = answer.nextCursor;
          } while (cursor !== null);
          return seen.join() === rows.map(({ id }) => id).join();
        },
      ),
    );
  });

  it.each([
    [{}, 50],
    [{ limit: '1' }, 1],
    [{ limit: '200' }, 200],
    [{ limit: '0' }, undefined],
    [{ limit: '201' }, undefined],
    [{ limit: '-1' }, undefined],
    [{ limit: '1.5' }, undefined],
    [{ limit: 'all' }, undefined],
    [{ limit: '' }, undefined],
    [{ limit: ['1', '2'] }, undefined],
    [{ limit: '1', offset: '7' }, undefined],
  ])('reads the limit of %j as %s', (query, limit) => {
    expect(PageQuery.safeParse(query).data?.limit).toBe(limit);
  });
});

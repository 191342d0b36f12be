import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bulk, flag, literalColumn, number, text, textColumn, texts } from './bulk.js';

const anyText = fc.string({ minLength: 1 }).filter((t) => !/[\u001e\u001f]/.test(t));

describe('columns of multi-row statements', () => {
  it('can be split again into the values they were made of', () => {
    fc.assert(
      fc.property(fc.array(fc.option(anyText), { minLength: 1 }), (values) => {
        const column = textColumn(values, (value) => value);
        const split = column.split('\u001e').map((part) => (part === '\u001f' ? null : part));
        expect(split).toEqual(values);
      }),
    );
  });

  it('write numbers, booleans and NULL as an array literal', () => {
    const values = [1, -2.5, true, false, null, undefined];
    expect(literalColumn(values, (value) => value)).toBe('{1,-2.5,true,false,NULL,NULL}');
    expect(literalColumn([], () => 1)).toBe('{}');
  });
});

describe(bulk.name, () => {
  const rows = bulk<{ id: string; count: number | null; isLast: boolean }>({
    id: text(({ id }) => id),
    count: number('int', ({ count }) => count),
    is_last: flag(({ isLast }) => isLast),
  });

  it('writes the columns and their parameters in one order', () => {
    expect(rows.unnest('o', 3)).toBe(
      `unnest(${texts(3)}, $4::int[], $5::boolean[]) AS o(id, count, is_last)`,
    );
    expect(
      rows.values([
        { id: 'a', count: 1, isLast: false },
        { id: 'b', count: null, isLast: true },
      ]),
    ).toEqual(['a\u001eb', '{1,NULL}', '{false,true}']);
    expect(rows.size).toBe(3);
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { literalColumn, textColumn } from './columns.js';

const text = fc.string({ minLength: 1 }).filter((t) => !/[\u001e\u001f]/.test(t));

describe('columns of multi-row statements', () => {
  it('can be split again into the values they were made of', () => {
    fc.assert(
      fc.property(fc.array(fc.option(text), { minLength: 1 }), (values) => {
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

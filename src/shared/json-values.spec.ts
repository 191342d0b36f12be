import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { jsonProblem, MAX_JSON_DEPTH } from './json-values.js';

const nested = (depth: number): unknown =>
  Array.from({ length: depth }).reduce<unknown>((inner) => [inner], 0);

describe(jsonProblem.name, () => {
  it('lets any value pass that survives JSON unchanged', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 6, stringUnit: 'grapheme' }), (text) => {
        const value: unknown = JSON.parse(text);
        fc.pre(!text.includes('\\u0000') && !/\d{16}|e\+?\d/.test(text));
        return jsonProblem(value) === undefined;
      }),
    );
  });

  it.each([
    ['a lone surrogate', { a: ['\ud800'] }, ['a', 0]],
    ['NUL', { a: { b: 'x\u0000' } }, ['a', 'b']],
    ['an integer that lost digits', { n: 12345678901234567890 }, ['n']],
    ['an overflow', JSON.parse('{"n":[1,1e400]}'), ['n', 1]],
    ['a date', { at: new Date(0) }, ['at']],
    ['undefined', { a: undefined }, ['a']],
    ['a bigint', { n: 1n }, ['n']],
    ['a function', [() => 1], [0]],
    ['a bad member name', { a: { '\udfff': 1 } }, ['a']],
  ])('finds %s and where it stands', (_, value, path) => {
    expect(jsonProblem(value)?.path).toEqual(path);
  });

  it('allows a depth of exactly the limit', () => {
    expect(jsonProblem(nested(MAX_JSON_DEPTH))).toBeUndefined();
    expect(jsonProblem(nested(MAX_JSON_DEPTH + 1))?.message).toContain('deeper');
  });

  it('survives any depth', () => {
    expect(jsonProblem(nested(200_000))?.message).toContain('deeper');
  });
});

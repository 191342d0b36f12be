import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PatternError, PatternMatcher } from './pattern-matcher.js';

const free = () => undefined;
const matcher = (pattern: string) => new PatternMatcher(pattern, free);

/** How many steps a text takes. */
function stepsOf(pattern: string, text: string): number {
  let steps = 0;
  new PatternMatcher(pattern, (more) => (steps += more)).test(text);
  return steps;
}

const character = fc.constantFrom('a', 'b', 'A', '1', '_', ' ', '-', 'é', '😀', '\n');
const text = fc.array(character, { maxLength: 12 }).map((parts) => parts.join(''));

const quantifier = fc.constantFrom('', '', '*', '+', '?', '{2}', '{1,}', '{0,2}', '*?', '{1,3}?');
const ATOMS =
  'a b 1 😀 . [ab] [^a] [\\]a-] [^] [] \\d \\w \\s \\S \\p{L} \\P{Lu} \\u{1F600} \\ud83d\\ude00 ' +
  '\\u0061 \\x61 \\. \\-| \\n';
const atom = fc.constantFrom(...ATOMS.split(' '));
const assertion = fc.constantFrom('^', '$', '\\b', '\\B');
const pattern = fc.letrec<{ choice: string; sequence: string; term: string }>((tie) => ({
  choice: fc
    .array(tie('sequence'), { minLength: 1, maxLength: 3 })
    .map((options) => options.join('|')),
  sequence: fc.array(tie('term'), { maxLength: 4 }).map((parts) => parts.join('')),
  term: fc.oneof(
    { depthSize: 'small' },
    { arbitrary: fc.tuple(atom, quantifier).map(([one, count]) => one + count), weight: 4 },
    { arbitrary: assertion, weight: 1 },
    {
      arbitrary: fc
        .tuple(fc.constantFrom('(', '(?:', '(?<name>'), tie('choice'), quantifier)
        .map(([open, inside, count]) => `${open}${inside})${count}`),
      weight: 2,
    },
  ),
})).choice;

const isSyntax = (source: string): boolean => {
  try {
    return new RegExp(source, 'u') instanceof RegExp;
  } catch {
    return false;
  }
};

/** Looked for from each character on; by itself V8 also finds `\B` in the middle of one. */
function isFound(sticky: RegExp, text: string): boolean {
  const starts = [0];
  for (const character of text) starts.push(starts.at(-1)! + character.length);
  return starts.some((start) => {
    sticky.lastIndex = start;
    return sticky.test(text);
  });
}

describe(PatternMatcher.name, () => {
  it('says the same as the engine of the language', () => {
    fc.assert(
      fc.property(pattern.filter(isSyntax), fc.array(text, { minLength: 1 }), (source, texts) => {
        const ours = matcher(source);
        const theirs = new RegExp(source, 'uy');
        for (const each of texts)
          expect([each, ours.test(each)]).toEqual([each, isFound(theirs, each)]);
      }),
      { numRuns: 300 },
    );
  });

  it.each([
    ['^(a+)+$', 'a'],
    ['^(a|a)*$', 'a'],
    ['^(a|aa)+$', 'a'],
    ['(.*)*x', 'a'],
    ['^\\s*\\s*\\s*\\s*$', ' '],
    ['^([a-z]+\\.?)+$', 'a'],
  ])('takes %s in time that grows with the text', (source, repeated) => {
    const [short, long] = [1_000, 10_000].map((n) => stepsOf(source, `${repeated.repeat(n)}!`));
    expect(long).toBeLessThan(short! * 11);
  });

  it.each(['(a)\\1', '(?<n>a)\\k<n>', 'a(?=b)', 'a(?!b)', '(?<=a)b', '(?<!a)b'])(
    'refuses %s, which needs a memory',
    (source) => expect(() => matcher(source)).toThrow(/not supported/),
  );

  it.each(['(', '[', 'a{2,1}', '\\', '*', '\\u{110000}', '(?<a', '\\p{Nope}'])(
    'refuses %s, which is none',
    (source) => expect(() => matcher(source)).toThrow(/not a regular expression/),
  );

  it.each(['(a{999}){999}', 'a{999999999}', '((((a{99}){99}){99}){99}){99}', 'a'.repeat(3_000)])(
    'refuses what is too large: %#',
    (source) => expect(() => matcher(source)).toThrow(PatternError),
  );

  it('makes nothing out of nothing, however often it is repeated', () => {
    expect(matcher('^(((){999999999}){999999999}){999999999}$').test('')).toBe(true);
  });

  it('stops where the one who counts throws', () => {
    const give = () => {
      throw new Error('enough');
    };
    expect(() => new PatternMatcher('a', give).test('b')).toThrow('enough');
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LinearPattern, PatternError } from './linear-pattern.js';

const unlimited = () => undefined;
const compiled = (pattern: string) => new LinearPattern(pattern, unlimited);

/** The steps that are counted for a text. */
function stepsOf(pattern: string, text: string): number {
  let steps = 0;
  new LinearPattern(pattern, (more) => (steps += more)).test(text);
  return steps;
}

const CHARACTERS = [
  'a',
  'b',
  'A',
  '1',
  '_',
  ' ',
  '-',
  'é',
  '😀',
  '\n',
  '\r',
  '\u2028',
  '\v',
  '\ufeff',
];
const character = fc.constantFrom(...CHARACTERS);
const text = fc.array(character, { maxLength: 12 }).map((parts) => parts.join(''));

const quantifier = fc.constantFrom('', '', '*', '+', '?', '{2}', '{1,}', '{0,2}', '*?', '{1,3}?');
const ATOMS =
  'a b 1 😀 . [ab] [^a] [\\]a-] [^] [] \\d \\w \\s \\S \\p{L} \\P{Lu} \\u{1F600} \\ud83d\\ude00 ' +
  '\\u0061 \\x61 \\. \\-| \\n \\D \\W [\\s] [^\\S] [\\w-] a{02} [[:a] [\\-b]';
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

/** The random ones are nested so deeply that some have too many states. */
const isSmallEnough = (source: string): boolean => {
  try {
    return compiled(source) instanceof LinearPattern;
  } catch (error) {
    if (error instanceof PatternError && error.message.includes('too large')) return false;
    throw error;
  }
};

/** Searches at each character, because V8 also finds `\B` inside a surrogate pair. */
function isFound(source: string, text: string): boolean {
  const sticky = new RegExp(source, 'uy');
  const starts = [0];
  for (const character of text) starts.push(starts.at(-1)! + character.length);
  return starts.some((start) => {
    sticky.lastIndex = start;
    return sticky.test(text);
  });
}

/** Written in another way in RE2, or with another meaning there. */
const FORMS =
  '\\s \\S [\\s] [\\S] [^\\s] . [^] [] \\d \\D \\w \\W [\\W] \\cJ [\\ca-\\cZ] \\0 [\\b] \\v \\f \\/ [\\-/] [a-] ' +
  '[-a] [+--] \\u{61} \\u{00061} \\ud83d\\ude00 [\\ud83d\\ude00-\\u{1f64f}] [^😀] [[:alpha:] \\p{Lu} \\P{L} ' +
  '\\p{gc=Nd} [\\p{Script=Greek}\\P{L}] \\p{sc=Han} \\p{LC} \\p{Cn} \\b \\B ^$ (?<n>a) # & ~ [&&a] [a^] [.$]';
const UNSUPPORTED =
  '(?i:a) (?-i:a) \\ud83d [\\udc00-\\udfff] \\u{d800} \\p{Alphabetic} \\p{Script=Grek} \\p{Letter} ' +
  '\\p{scx=Greek} \\p{Emoji}';

describe(LinearPattern.name, () => {
  it('gives the same results as the built-in RegExp', () => {
    const sources = pattern.filter((source) => isSyntax(source) && isSmallEnough(source));
    fc.assert(
      fc.property(sources, fc.array(text, { minLength: 1 }), (source, texts) => {
        const linear = compiled(source);
        for (const each of texts)
          expect([each, linear.test(each)]).toEqual([each, isFound(source, each)]);
      }),
      { numRuns: 300 },
    );
  });

  it.each(FORMS.split(' '))('reads %s as ECMA-262 does, whatever the character', (source) => {
    const linear = compiled(source);
    for (let code = 0; code <= 0x1ffff; code += code < 0x3000 ? 1 : 97) {
      if (code >= 0xd800 && code <= 0xdfff) continue;
      const one = String.fromCodePoint(code);
      if (linear.test(one) !== isFound(source, one)) expect.fail(`${source}: ${code.toString(16)}`);
    }
  });

  it.each([
    ['^(a+)+$', 'a'],
    ['(a+)+$', 'a'],
    ['^(a|a)*$', 'a'],
    ['^(a|aa)+$', 'a'],
    ['(.*)*x', 'a'],
    ['^\\s*\\s*\\s*\\s*$', ' '],
    ['^([a-z]+\\.?)+$', 'a'],
  ])('tests %s in linear time', (source, repeated) => {
    const [short, long] = [1_000, 10_000].map((n) => stepsOf(source, `${repeated.repeat(n)}!`));
    expect(long).toBeLessThan(short! * 11);
    expect(compiled(source).test(`${repeated.repeat(50_000)}!`)).toBe(false);
  });

  it.each(['(a)\\1', '(?<n>a)\\k<n>', 'a(?=b)', 'a(?!b)', '(?<=a)b', '(?<!a)b'])(
    'refuses %s, which RE2 does not support',
    (source) => expect(() => compiled(source)).toThrow(/not supported/),
  );

  it.each(['(', '[', 'a{2,1}', '\\', '*', '\\u{110000}', '(?<a', '\\p{Nope}'])(
    'refuses %s, which is not a pattern',
    (source) => expect(() => compiled(source)).toThrow(/not a regular expression/),
  );

  it.each([...UNSUPPORTED.split(' '), '\ud83d'])('refuses %s', (source) =>
    expect(() => compiled(source)).toThrow(PatternError),
  );

  it.each([
    '(a{999}){999}',
    'a{999999999}',
    `a{${'9'.repeat(400)}}`,
    'a{1001,}',
    '((((a{99}){99}){99}){99}){99}',
    '(){999999999}',
    '(?:a|b|c{9}){90}',
    '\\p{L}'.repeat(101),
    'a|'.repeat(999),
    'a'.repeat(3_000),
  ])('refuses what is too large: %#', (source) =>
    expect(() => compiled(source)).toThrow(/too large|longer than/),
  );

  it.each([
    'a{999}',
    '(?:a?){400}',
    '\\S'.repeat(990),
    `[${'\\S'.repeat(990)}]`,
    '\\p{L}'.repeat(90),
  ])('compiles the largest patterns into as many states: %#', (source) =>
    expect(compiled(source).states).toBeLessThanOrEqual(1_000),
  );

  it('takes groups that are nested deeply', () => {
    expect(compiled(`${'('.repeat(900)}a${')'.repeat(900)}`).test('ba')).toBe(true);
  });

  it('counts a pattern that is never ambiguous once per character', () => {
    expect(stepsOf('^.{0,400}$', 'a'.repeat(99))).toBe(stepsOf('^a$', 'a'.repeat(99)));
    expect(stepsOf('.{0,400}$', 'a'.repeat(99))).toBeGreaterThan(400 * 99);
  });

  it('stops when the counter throws', () => {
    const stop = () => {
      throw new Error('enough');
    };
    expect(() => new LinearPattern('a', stop).test('b')).toThrow('enough');
  });
});

/**
 * Tests a text against an ECMA-262 regular expression (flag `u`) in linear time, with RE2. The
 * built-in engine backtracks: `^(a+)+$` takes seconds for thirty characters, and nothing can
 * interrupt it.
 */
import { RE2JS } from 're2js';

export class PatternError extends Error {
  constructor(
    readonly pattern: string,
    message: string,
  ) {
    super(message);
    this.name = new.target.name;
  }
}

const MAX_LENGTH = 2_000;
/** The time to compile a pattern, and to read one character, grows with its states. */
export const MAX_STATES = 1_000;
/** Steps to read one character, apart from the states. One takes up to 50 ns. */
const STEPS_TO_READ = 4;

export class LinearPattern {
  /** Roughly: counted repetitions are written out, so `(a{9}){9}` has 81. */
  readonly states: number;
  private readonly engine: RE2JS;
  private readonly stepsPerCharacter: number;

  /**
   * @param spend called before a test with the most steps that it can take; may throw
   * @throws PatternError when it is not a pattern, not supported or too large
   */
  constructor(
    private readonly pattern: string,
    private readonly spend: (steps: number) => void,
  ) {
    requireSyntax(pattern);
    const { source, states } = translate(pattern);
    if (states > MAX_STATES) {
      throw new PatternError(pattern, `is too large: it has more than ${MAX_STATES} states`);
    }
    this.states = states;
    this.engine = compile(pattern, source);
    // One-pass: RE2 is never in two states at once, as in `^[a-z]{2}\d{1,99}$`.
    const isOnePass = Boolean(this.engine.re2Input.onepass);
    this.stepsPerCharacter = STEPS_TO_READ + (isOnePass ? 0 : this.engine.programSize());
  }

  test(text: string): boolean {
    this.spend(this.stepsPerCharacter * (text.length + 1));
    // Not `engine.test`, which keeps up to 8 MB of its states in memory for each pattern.
    return this.engine.matcher(text).find();
  }

  toString(): string {
    return `/${this.pattern}/u`;
  }
}

function requireSyntax(pattern: string): RegExp {
  if (pattern.length > MAX_LENGTH) {
    throw new PatternError(pattern, `is longer than ${MAX_LENGTH} characters`);
  }
  try {
    return new RegExp(pattern, 'u');
  } catch {
    throw new PatternError(pattern, 'is not a regular expression (ECMA-262 with the flag u)');
  }
}

function compile(pattern: string, source: string): RE2JS {
  try {
    return RE2JS.compile(source);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new PatternError(pattern, `is not supported: ${reason}`);
  }
}

/** One character or a set of them, inside a class and outside. */
const ATOM =
  /\\u\{(?<braced>[^}]+)\}|\\u(?<high>[dD][89abAB]..)\\u(?<low>[dD][c-fC-F]..)/.source +
  /|\\u(?<hex4>....)|\\x(?<hex2>..)|\\c(?<control>.)/.source +
  /|\\(?<sign>[pP])\{(?<property>[^}]+)\}|\\(?<escaped>.)|(?<plain>.)/.source;
const MEMBER = new RegExp(ATOM, 'gsu');
const TOKEN = new RegExp(
  /\[(?<negation>\^?)(?<members>(?:\\.|[^\]\\])*)\]/.source +
    /|(?<group>\((?:\?(?::|<(?![=!])[^>]*>))?)/.source +
    /|(?<quantifier>[*+?]|\{(?<min>\d+)(?<comma>,?)(?<max>\d*)\})\??/.source +
    `|${ATOM}`,
  'gsu',
);

type Token = Record<string, string | undefined>;

const ANY = '\\x{0}-\\x{10ffff}';
const LINE_ENDS = '\\n\\r\\x{2028}\\x{2029}';
/** RE2 means the ASCII ones by `\s`. */
const SPACES =
  '\\t-\\r \\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}\\x{feff}';
const NO_SPACES =
  '\\x{0}-\\x{8}\\x{e}-\\x{1f}!-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}' +
  '\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{fefe}\\x{ff00}-\\x{10ffff}';

/** RE2 knows general categories by their short names, scripts by their long ones. */
const PROPERTY =
  /^(?:(?:General_Category=|gc=)?(?<category>[A-Z][a-zC]?)|(?:Script|sc)=(?<script>\w+))$/;
/** Its hundreds of ranges take as long to compile as so many states. */
const STATES_PER_PROPERTY = 10;

/** A valid pattern in the syntax of RE2, and how many states it has. */
function translate(pattern: string): { source: string; states: number } {
  let source = '';
  /** States of each group that is open, the outermost first. */
  const open = [STATES_PER_PROPERTY * (pattern.match(/\\[pP]\{/g)?.length ?? 0)];
  let last = 0;
  const add = (text: string, states = 1): void => {
    source += text;
    last = states;
    open.push(open.pop()! + states);
  };
  for (const { groups } of pattern.matchAll(TOKEN)) {
    const token = groups as Token;
    if (token['group'] !== undefined) {
      // Without its name: RE2 allows no name twice, and the groups are not used.
      source += '(?:';
      open.push(0);
    } else if (token['plain'] === ')') {
      add(')', Math.max(1, open.pop()!));
    } else if (token['quantifier'] !== undefined) {
      if (source.endsWith('(?:')) {
        throw new PatternError(pattern, 'look-around and modifiers are not supported');
      }
      const { text, copies } = repetition(token);
      add(text, last * copies);
    } else if (token['members'] !== undefined) {
      add(characterClass(pattern, token));
    } else {
      add(outsideClass(pattern, token));
    }
  }
  return { source, states: open[0]! };
}

/** @returns also how often the term before it is written out */
function repetition({ quantifier, min, comma, max }: Token): { text: string; copies: number } {
  if (min === undefined) return { text: quantifier![0]!, copies: 1 };
  const copies = Number(max || min);
  // Without leading zeros, with which RE2 reads the braces as text.
  return { text: `{${Number(min)}${comma}${max && Number(max)}}`, copies };
}

function characterClass(pattern: string, { negation, members }: Token): string {
  if (members === '') return negation ? `[${ANY}]` : `[^${ANY}]`;
  const translated = members!.replace(MEMBER, (...parts: unknown[]) => {
    const token = parts.at(-1) as Token;
    if (token['plain'] === '-') return '-';
    if (token['escaped'] === 's') return SPACES;
    if (token['escaped'] === 'S') return NO_SPACES;
    return token['escaped'] === 'b' ? '\\x{8}' : character(pattern, token);
  });
  return `[${negation}${translated}]`;
}

function outsideClass(pattern: string, token: Token): string {
  const { plain, escaped } = token;
  if (plain !== undefined && '^$|'.includes(plain)) return plain;
  if (plain === '.') return `[^${LINE_ENDS}]`;
  if (escaped === 's') return `[${SPACES}]`;
  if (escaped === 'S') return `[^${SPACES}]`;
  if (escaped === 'b' || escaped === 'B') return `\\${escaped}`;
  if (escaped !== undefined && 'k123456789'.includes(escaped)) {
    throw new PatternError(pattern, 'back-references are not supported');
  }
  return character(pattern, token);
}

/** What means the same inside a class and outside. */
function character(pattern: string, token: Token): string {
  const { sign, property, escaped } = token;
  if (property !== undefined) {
    const { category, script } = PROPERTY.exec(property)?.groups ?? {};
    if (category ?? script) return `\\${sign}{${category ?? script}}`;
    throw new PatternError(
      pattern,
      `uses \\${sign}{${property}}: only categories by their short names, such as \\p{Lu}, and ` +
        'scripts by their long names, such as \\p{Script=Greek}, are supported',
    );
  }
  if (escaped !== undefined && 'dDwWfnrtv'.includes(escaped)) return `\\${escaped}`;
  const code = codePoint(token);
  if (code >= 0xd800 && code <= 0xdfff) {
    throw new PatternError(pattern, 'has half of a surrogate pair, which no text contains');
  }
  return `\\x{${code.toString(16)}}`;
}

function codePoint({ braced, high, low, hex4, hex2, control, escaped, plain }: Token): number {
  const hex = braced ?? hex4 ?? hex2;
  if (hex !== undefined) return parseInt(hex, 16);
  if (control !== undefined) return control.charCodeAt(0) % 32;
  if (escaped === '0') return 0;
  const text =
    high === undefined
      ? (escaped ?? plain)!
      : String.fromCharCode(parseInt(high, 16), parseInt(low!, 16));
  return text.codePointAt(0)!;
}

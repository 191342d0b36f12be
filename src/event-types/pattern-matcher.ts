/**
 * Whether a text contains a match of a regular expression (ECMA-262 with the flag `u`), in time that
 * grows with the text times the states of the pattern, never with the ways of reading it. The engine
 * of the language backtracks: `^(a+)+$` takes it seconds for thirty characters that somebody else
 * chooses, and nothing can interrupt it.
 *
 * All states that can be reached are followed at once (Thompson). What needs a memory of the way,
 * back-references and look-around, is refused, and so is a pattern of too many states.
 */
export class PatternError extends Error {
  constructor(
    readonly pattern: string,
    message: string,
  ) {
    super(message);
    this.name = new.target.name;
  }
}

/** Counted repetitions are written out, so `(a{99}){99}` is large. */
const MAX_STATES = 5_000;

const MAX_PATTERN_LENGTH = 2_000;

type Assertion = 'start' | 'end' | 'boundary' | 'inside';

type Node =
  | { kind: 'one'; source: string }
  | { kind: 'assertion'; what: Assertion }
  | { kind: 'sequence'; parts: Node[] }
  | { kind: 'choice'; options: Node[] }
  | { kind: 'repetition'; of: Node; min: number; max: number };

/** One character of the text is read by `accepts`; the others read nothing. */
type State =
  | { kind: 'one'; accepts: (codePoint: number) => boolean; next: number }
  | { kind: 'assertion'; what: Assertion; next: number }
  | { kind: 'fork'; first: number; second: number }
  | { kind: 'match' };

export class PatternMatcher {
  private readonly states: readonly State[];
  private readonly start: number;
  /** A match can only begin at the start of the text. */
  private readonly isAnchored: boolean;
  /** For each state, the round in which it was last reached. */
  private readonly reachedIn: Float64Array;
  private round = 0;
  private readonly open: number[] = [];

  /**
   * @param spend told how many steps a text takes; may throw to give up
   * @throws PatternError
   */
  constructor(
    private readonly pattern: string,
    private readonly spend: (steps: number) => void,
  ) {
    requireSyntax(pattern);
    const program = new Program(pattern);
    this.start = program.add(new Parser(pattern).parse());
    this.states = program.states;
    this.reachedIn = new Float64Array(this.states.length);
    this.isAnchored = !this.canStartLater();
  }

  test(text: string): boolean {
    const reached: number[] = [];
    const readers: number[] = [];
    let before = -1;
    for (let at = 0; ;) {
      const here = text.codePointAt(at) ?? -1;
      this.round++;
      readers.length = 0;
      for (const state of reached) if (this.reach(state, before, here, readers)) return true;
      const mayStart = at === 0 || !this.isAnchored;
      if (mayStart && this.reach(this.start, before, here, readers)) return true;
      if (here === -1 || (this.isAnchored && readers.length === 0)) return false;
      this.spend(readers.length + 1);
      this.read(here, readers, reached);
      before = here;
      at += here > 0xffff ? 2 : 1;
    }
  }

  toString(): string {
    return `/${this.pattern}/u`;
  }

  /** From the states that read the next character to those that come after it. */
  private read(codePoint: number, readers: readonly number[], reached: number[]): void {
    reached.length = 0;
    for (const index of readers) {
      const state = this.states[index]!;
      if (state.kind === 'one' && state.accepts(codePoint)) reached.push(state.next);
    }
  }

  /**
   * Goes on from a state as far as nothing has to be read, to those that read.
   * @returns whether there is a match
   */
  private reach(from: number, before: number, here: number, readers: number[]): boolean {
    const { open } = this;
    open.length = 0;
    open.push(from);
    for (let index = open.pop(); index !== undefined; index = open.pop()) {
      if (this.reachedIn[index] === this.round) continue;
      this.reachedIn[index] = this.round;
      const state = this.states[index]!;
      if (state.kind === 'match') return true;
      if (state.kind === 'one') readers.push(index);
      else if (state.kind === 'fork') open.push(state.second, state.first);
      else if (holds(state.what, before, here)) open.push(state.next);
    }
    return false;
  }

  private canStartLater(): boolean {
    const open = [this.start];
    const seen = new Set<number>();
    for (let index = open.pop(); index !== undefined; index = open.pop()) {
      if (seen.has(index)) continue;
      seen.add(index);
      const state = this.states[index]!;
      if (state.kind === 'one' || state.kind === 'match') return true;
      if (state.kind === 'fork') open.push(state.first, state.second);
      else if (state.what !== 'start') open.push(state.next);
    }
    return false;
  }
}

/** @param before the character before the place, -1: none; @param here the one after it */
function holds(what: Assertion, before: number, here: number): boolean {
  if (what === 'start') return before === -1;
  if (what === 'end') return here === -1;
  return (isWord(before) !== isWord(here)) === (what === 'boundary');
}

const isWord = (codePoint: number): boolean =>
  (codePoint >= 48 && codePoint <= 57) ||
  (codePoint >= 65 && codePoint <= 90) ||
  (codePoint >= 97 && codePoint <= 122) ||
  codePoint === 95;

function requireSyntax(pattern: string): RegExp {
  if (pattern.length > MAX_PATTERN_LENGTH) {
    throw new PatternError(pattern, `is longer than ${MAX_PATTERN_LENGTH} characters`);
  }
  try {
    return new RegExp(pattern, 'u');
  } catch {
    throw new PatternError(pattern, 'is not a regular expression (ECMA-262 with the flag u)');
  }
}

/** The states of a pattern, made from its end to its beginning. */
class Program {
  readonly states: State[] = [{ kind: 'match' }];
  private readonly characters = new Map<string, (codePoint: number) => boolean>();

  constructor(private readonly pattern: string) {}

  /** @returns the state in which to begin, to go on with `next` after the node */
  add(node: Node, next = 0): number {
    switch (node.kind) {
      case 'one':
        return this.push({ kind: 'one', accepts: this.accepts(node.source), next });
      case 'assertion':
        return this.push({ ...node, next });
      case 'sequence':
        return node.parts.reduceRight((after, part) => this.add(part, after), next);
      case 'choice':
        return node.options
          .map((option) => this.add(option, next))
          .reduceRight((second, first) => this.push({ kind: 'fork', first, second }));
      case 'repetition':
        return this.addRepetition(node, next);
    }
  }

  private addRepetition(
    { of, min, max }: Extract<Node, { kind: 'repetition' }>,
    next: number,
  ): number {
    let after = next;
    if (max === Infinity) {
      const loop = this.push({ kind: 'fork', first: 0, second: next });
      const body = this.add(of, loop);
      this.states[loop] = { kind: 'fork', first: body, second: next };
      after = loop;
    } else {
      for (let count = min; count < max; count++) {
        after = this.push({ kind: 'fork', first: this.add(of, after), second: next });
      }
    }
    for (let count = 0; count < min; count++) {
      const size = this.states.length;
      after = this.add(of, after);
      // Nothing is nothing, however often: `(){999999999}`.
      if (this.states.length === size) break;
    }
    return after;
  }

  private push(state: State): number {
    if (this.states.length >= MAX_STATES) {
      throw new PatternError(this.pattern, `is too large: it has more than ${MAX_STATES} states`);
    }
    return this.states.push(state) - 1;
  }

  /** Asks the engine of the language, which cannot take long for one character. */
  private accepts(source: string): (codePoint: number) => boolean {
    let accepts = this.characters.get(source);
    if (accepts) return accepts;
    const one = new RegExp(`^(?:${source})$`, 'u');
    const isAscii = Uint8Array.from({ length: 128 }, (_, code) =>
      Number(one.test(String.fromCharCode(code))),
    );
    accepts = (codePoint) =>
      codePoint < 128 ? isAscii[codePoint] === 1 : one.test(String.fromCodePoint(codePoint));
    this.characters.set(source, accepts);
    return accepts;
  }
}

const QUANTIFIER = /([*+?]|\{(\d+)(?:(,)(\d*))?\})\??/y;
/** What stands for one character, apart from a class. */
const CHARACTER =
  /\\u\{[^}]*\}|\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u.{4}|\\x..|\\c.|\\[pP]\{[^}]*\}|\\.|./suy;
const CLASS = /\[(?:\\.|[^\]\\])*\]/suy;
const GROUP = /\((?:\?(?::|<(?![=!])[^>]*>))?/y;

/** Reads a pattern that is known to be one. */
class Parser {
  private at = 0;

  constructor(private readonly pattern: string) {}

  parse(): Node {
    const options: Node[] = [this.sequence()];
    while (this.pattern[this.at] === '|') {
      this.at++;
      options.push(this.sequence());
    }
    return options.length === 1 ? options[0]! : { kind: 'choice', options };
  }

  private sequence(): Node {
    const parts: Node[] = [];
    while (this.at < this.pattern.length && !'|)'.includes(this.pattern[this.at]!)) {
      parts.push(this.quantified(this.term()));
    }
    return { kind: 'sequence', parts };
  }

  private term(): Node {
    switch (this.pattern[this.at]) {
      case '^':
        return this.assertion('start', 1);
      case '$':
        return this.assertion('end', 1);
      case '(':
        return this.group();
      case '[':
        return { kind: 'one', source: this.take(CLASS)![0] };
      case '\\':
        return this.escape();
      default:
        return { kind: 'one', source: this.take(CHARACTER)![0] };
    }
  }

  private group(): Node {
    this.take(GROUP);
    if (this.pattern[this.at] === '?') this.refuse('look-around and modifiers are not supported');
    const inside = this.parse();
    this.at++;
    return inside;
  }

  private escape(): Node {
    const letter = this.pattern[this.at + 1]!;
    if (letter === 'b') return this.assertion('boundary', 2);
    if (letter === 'B') return this.assertion('inside', 2);
    if (letter === 'k' || (letter >= '1' && letter <= '9')) {
      this.refuse('back-references are not supported');
    }
    return { kind: 'one', source: this.take(CHARACTER)![0] };
  }

  private assertion(what: Assertion, length: number): Node {
    this.at += length;
    return { kind: 'assertion', what };
  }

  private quantified(of: Node): Node {
    const found = this.take(QUANTIFIER);
    if (!found) return of;
    const [, sign, least, comma, most] = found;
    if (sign === '*') return { kind: 'repetition', of, min: 0, max: Infinity };
    if (sign === '+') return { kind: 'repetition', of, min: 1, max: Infinity };
    if (sign === '?') return { kind: 'repetition', of, min: 0, max: 1 };
    const min = Number(least);
    if (comma === undefined) return { kind: 'repetition', of, min, max: min };
    return { kind: 'repetition', of, min, max: most === '' ? Infinity : Number(most) };
  }

  private take(what: RegExp): RegExpExecArray | null {
    what.lastIndex = this.at;
    const found = what.exec(this.pattern);
    if (found) this.at = what.lastIndex;
    return found;
  }

  private refuse(why: string): never {
    throw new PatternError(this.pattern, why);
  }
}

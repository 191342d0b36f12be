/**
 * What is lost when a JSON text is parsed, and texts of its parts. A parser rounds numbers, keeps the
 * last of two members with one name, moves members whose names look like integers to the front, and
 * writes `1.0` as `1`. So what must arrive as it was sent is checked, and cut out, as text.
 *
 * All functions expect a text that JSON.parse accepts.
 */
import type { JsonProblem } from './json-values.js';

const QUOTE = 0x22;
const COMMA = 0x2c;
const MINUS = 0x2d;
const ZERO = 0x30;
const NINE = 0x39;
const OPEN_ARRAY = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const SPACE = 0x20;

/** A double holds any number of so many characters without an exponent. */
const SAFE_NUMBER_LENGTH = 15;

/** From this many names on a set is faster than a search. */
const MANY_NAMES = 12;

/** The first name that occurs twice in an object, name `__proto__`, or number that a double cannot hold. */
export function jsonTextProblem(text: string): JsonProblem | undefined {
  const levels: Level[] = [];
  let depth = 0;
  let isName = false;
  const at = (message: string): JsonProblem => ({
    path: levels.slice(0, depth).map(({ key }) => key),
    message,
  });
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code === QUOTE) {
      const end = endOfString(text, index);
      if (isName) {
        isName = false;
        const message = levels[depth - 1]!.enter(nameOf(text, index, end));
        if (message !== undefined) return at(message);
      }
      index = end - 1;
    } else if (code === MINUS || (code >= ZERO && code <= NINE)) {
      const end = endOfScalar(text, index);
      if (!isExact(text, index, end)) return at(LOSES_DIGITS);
      index = end - 1;
    } else if (code === OPEN_OBJECT || code === OPEN_ARRAY) {
      isName = code === OPEN_OBJECT;
      (levels[depth++] ??= new Level()).open(isName);
    } else if (code === CLOSE_OBJECT || code === CLOSE_ARRAY) {
      isName = false;
      depth--;
    } else if (code === COMMA) {
      isName = levels[depth - 1]!.next();
    }
  }
  return undefined;
}

const LOSES_DIGITS =
  'is a number that loses digits when it is read as a double: send it as a string (RFC 7493)';

/** An object or array around the current place; used again for the next one at its depth. */
class Level {
  /** Name of the current member, or index of the current item. */
  key: string | number = 0;
  private isObject = false;
  private names: string[] = [];
  private set: Set<string> | undefined;

  open(isObject: boolean): void {
    this.isObject = isObject;
    this.key = 0;
    this.names.length = 0;
    this.set = undefined;
  }

  /** @returns whether a name follows */
  next(): boolean {
    if (!this.isObject) this.key = Number(this.key) + 1;
    return this.isObject;
  }

  /** @returns what is wrong with the name */
  enter(name: string): string | undefined {
    this.key = name;
    // Dangerous to code that merges objects.
    if (name === '__proto__') return 'is not an acceptable name';
    if (this.set?.has(name) ?? this.names.includes(name)) return 'occurs twice in its object';
    if (this.set) this.set.add(name);
    else if (this.names.push(name) === MANY_NAMES) this.set = new Set(this.names);
    return undefined;
  }
}

/** The text of a member of the object, without white space between its parts. */
export function memberText(object: string, name: string): string | undefined {
  for (const [key, start, end] of membersOf(object)) {
    if (key === name) return compact(object.slice(start, end));
  }
  return undefined;
}

/** The texts of the items of an array. */
export function itemTexts(array: string): string[] {
  const items: string[] = [];
  let index = skipSpace(array, skipSpace(array, 0) + 1);
  while (array.charCodeAt(index) !== CLOSE_ARRAY) {
    const end = endOfValue(array, index);
    items.push(array.slice(index, end));
    index = skipSpace(array, end);
    if (array.charCodeAt(index) === COMMA) index = skipSpace(array, index + 1);
  }
  return items;
}

/** Name, start and end of the value. */
function* membersOf(object: string): Generator<[string, number, number]> {
  let index = skipSpace(object, skipSpace(object, 0) + 1);
  while (object.charCodeAt(index) === QUOTE) {
    const nameEnd = endOfString(object, index);
    const start = skipSpace(object, skipSpace(object, nameEnd) + 1);
    const end = endOfValue(object, start);
    yield [nameOf(object, index, nameEnd), start, end];
    index = skipSpace(object, end);
    if (object.charCodeAt(index) === COMMA) index = skipSpace(object, index + 1);
  }
}

/** Without white space outside of strings, so on one line. */
function compact(text: string): string {
  if (!/[ \t\n\r]/.test(text)) return text;
  let result = '';
  let copied = 0;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code === QUOTE) index = endOfString(text, index) - 1;
    else if (code <= SPACE) {
      result += text.slice(copied, index);
      copied = index + 1;
    }
  }
  return result + text.slice(copied);
}

function endOfValue(text: string, start: number): number {
  const first = text.charCodeAt(start);
  if (first === QUOTE) return endOfString(text, start);
  if (first !== OPEN_OBJECT && first !== OPEN_ARRAY) return endOfScalar(text, start);
  let depth = 0;
  for (let index = start; ; index++) {
    const code = text.charCodeAt(index);
    if (code === QUOTE) index = endOfString(text, index) - 1;
    else if (code === OPEN_OBJECT || code === OPEN_ARRAY) depth++;
    else if ((code === CLOSE_OBJECT || code === CLOSE_ARRAY) && --depth === 0) return index + 1;
  }
}

/** Behind the closing quote. */
function endOfString(text: string, start: number): number {
  for (let quote = text.indexOf('"', start + 1); ; quote = text.indexOf('"', quote + 1)) {
    let backslashes = 0;
    while (text.charCodeAt(quote - 1 - backslashes) === BACKSLASH) backslashes++;
    if (backslashes % 2 === 0) return quote + 1;
  }
}

/** Behind a number, `true`, `false` or `null`. */
function endOfScalar(text: string, start: number): number {
  let end = start;
  while (end < text.length) {
    const code = text.charCodeAt(end);
    if (code <= SPACE || code === COMMA || code === CLOSE_ARRAY || code === CLOSE_OBJECT) break;
    end++;
  }
  return end;
}

function skipSpace(text: string, start: number): number {
  let index = start;
  while (text.charCodeAt(index) <= SPACE) index++;
  return index;
}

function nameOf(text: string, start: number, end: number): string {
  const raw = text.slice(start + 1, end - 1);
  return raw.includes('\\') ? (JSON.parse(`"${raw}"`) as string) : raw;
}

/** Whether the double nearest to a number is printed as the same decimal number. */
function isExact(text: string, start: number, end: number): boolean {
  const number = text.slice(start, end);
  if (number.length <= SAFE_NUMBER_LENGTH && !/e/i.test(number)) return true;
  const value = Number(number);
  return Number.isFinite(value) && decimal(number) === decimal(String(value));
}

/** Digits without zeros at either end, and the power of ten of the last one: equal for equal numbers. */
function decimal(number: string): string {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = NUMBER.exec(number)!;
  const digits = trimmed(whole + fraction);
  if (digits.text === '') return '0';
  return `${sign}${digits.text}e${Number(exponent) - fraction.length + digits.zeros}`;
}

const NUMBER = /^(-?)(\d+)(?:\.(\d*))?(?:e([+-]?\d+))?$/i;

/** Not by a regular expression: `/0+$/` takes time by the square of the length. */
function trimmed(digits: string): { text: string; zeros: number } {
  let start = 0;
  let end = digits.length;
  while (start < end && digits.charCodeAt(start) === ZERO) start++;
  while (end > start && digits.charCodeAt(end - 1) === ZERO) end--;
  return { text: digits.slice(start, end), zeros: digits.length - end };
}

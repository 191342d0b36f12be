/**
 * Parses a large JSON object member by member, and its lists item by item, so that the caller can do
 * something else in between: parsing megabytes at once would stop the process for a second.
 */
import { AppError, InvalidInputError } from '../shared/app-error.js';

export interface PartLimits {
  /** Characters of a member that is no list, or of an item of one that is. */
  part: number;
  /** Items of a list. */
  items: number;
  /** How the caller names `part` in a refusal. */
  partText: string;
}

/**
 * Members of the object, which are put together at once: a million of them would stop the process for
 * seconds. No route takes half as many.
 */
const MAX_MEMBERS = 100;

/** Parses a complete JSON text. @throws AppError for one that is not acceptable */
type Parse = (text: string) => unknown;

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_ARRAY = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/**
 * The value of the text. Whether it is JSON, and acceptable, is decided by `parse` alone, which gets all
 * of it in parts: here only commas and brackets are found.
 *
 * @throws what `parse` throws, with the path of the part before the field; AppError `body_too_large`
 */
export function* parsedInParts(
  text: string,
  parse: Parse,
  limits: PartLimits,
): Generator<void, unknown> {
  const reader = new PartReader(text, parse, limits);
  if (!reader.skip(OPEN_OBJECT)) return reader.whole();
  const names: string[] = [];
  const values: unknown[] = [];
  while (!reader.skip(CLOSE_OBJECT)) {
    if (names.length > 0) reader.expect(COMMA);
    if (names.length === MAX_MEMBERS) throw tooManyMembers();
    names.push(reader.name());
    reader.expect(COLON);
    const field = String(parse(names.at(-1)!));
    if (!reader.skip(OPEN_ARRAY)) values.push(reader.part(field));
    else {
      const items: unknown[] = [];
      while (!reader.skip(CLOSE_ARRAY)) {
        if (items.length > 0) reader.expect(COMMA);
        if (items.length >= limits.items) throw tooMany(field, limits.items);
        items.push(reader.part(`${field}[${items.length}]`));
        yield;
      }
      values.push(items);
    }
    yield;
  }
  reader.end();
  // What is not acceptable as a name is also decided by the parser.
  const whole = parse(`{${names.map((name, index) => `${name}:${index}`).join(',')}}`);
  const indexes = Object.entries(whole as Record<string, number>);
  return Object.fromEntries(indexes.map(([name, index]) => [name, values[index]]));
}

/** Goes through a text; it only has to find the ends of what is JSON. */
class PartReader {
  private at = 0;

  constructor(
    private readonly text: string,
    private readonly parse: Parse,
    private readonly limits: PartLimits,
  ) {}

  /** Passes the character, and the white space before it, if it comes next. */
  skip(code: number): boolean {
    this.skipSpace();
    if (this.text.charCodeAt(this.at) !== code) return false;
    this.at++;
    return true;
  }

  expect(code: number): void {
    if (!this.skip(code)) this.malformed();
  }

  end(): void {
    this.skipSpace();
    if (this.at < this.text.length) this.malformed();
  }

  /** The text of a name, with its quotes. */
  name(): string {
    this.skipSpace();
    const start = this.at;
    if (this.text.charCodeAt(start) !== QUOTE) this.malformed();
    this.skipString(start + this.limits.part);
    return this.text.slice(start, this.at);
  }

  /** A value. */
  part(field: string): unknown {
    this.skipSpace();
    const start = this.at;
    this.skipValue(start + this.limits.part);
    if (this.at - start > this.limits.part) throw tooLarge(field, this.limits);
    if (this.at === start) this.malformed();
    try {
      return this.parse(this.text.slice(start, this.at));
    } catch (error) {
      throw withPath(error, field);
    }
  }

  /** The text is no object. */
  whole(): unknown {
    if (this.text.length > this.limits.part) throw tooLarge('(body)', this.limits);
    return this.parse(this.text);
  }

  private skipSpace(): void {
    while (isSpace(this.text.charCodeAt(this.at))) this.at++;
  }

  /** To the comma or bracket that ends the value, or a little beyond the limit. */
  private skipValue(limit: number): void {
    const { text } = this;
    let depth = 0;
    for (; this.at < text.length && this.at <= limit; this.at++) {
      const code = text.charCodeAt(this.at);
      if (code === QUOTE) {
        this.skipString(limit);
        this.at--;
      } else if (code === OPEN_OBJECT || code === OPEN_ARRAY) depth++;
      else if (code === CLOSE_OBJECT || code === CLOSE_ARRAY) {
        if (depth === 0) return;
        depth--;
      } else if (code === COMMA && depth === 0) return;
    }
  }

  private skipString(limit: number): void {
    const { text } = this;
    for (this.at++; this.at < text.length && this.at <= limit; this.at++) {
      const code = text.charCodeAt(this.at);
      if (code === BACKSLASH) this.at++;
      else if (code === QUOTE) return void this.at++;
    }
  }

  private malformed(): never {
    const detail = `The body is not valid JSON: unexpected text at character ${this.at}.`;
    throw new AppError('malformed', 'malformed_json', detail);
  }
}

const isSpace = (code: number): boolean =>
  code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;

const tooLarge = (field: string, { partText }: PartLimits): AppError => {
  const message = `is larger than ${partText}`;
  return new AppError('too_large', 'body_too_large', `${field} ${message}`, [{ field, message }]);
};

const tooMany = (field: string, items: number): InvalidInputError =>
  InvalidInputError.at(field, `must have at most ${items} entries`);

const tooManyMembers = (): InvalidInputError =>
  InvalidInputError.at('(body)', `must have at most ${MAX_MEMBERS} members`);

function withPath(error: unknown, path: string): unknown {
  if (!(error instanceof InvalidInputError) || error.errors === undefined) return error;
  return new InvalidInputError(
    error.errors.map(({ field, message }) => ({ field: joined(path, field), message })),
  );
}

function joined(path: string, field: string): string {
  if (field === '(body)') return path;
  return field.startsWith('[') ? path + field : `${path}.${field}`;
}

/**
 * Checks the data of an event against a JSON Schema (draft 2020-12). The work is counted and
 * limited, so that neither a schema nor the data can block the process. References are not fetched.
 */
import formats from 'ajv-formats';
import { Ajv2020, type ErrorObject, MissingRefError } from 'ajv/dist/2020.js';
import type { Issue } from '../shared/field-errors.js';
import { jsonProblem } from '../shared/json-values.js';
import { readable } from '../shared/app-error.js';
import { LinearPattern, PatternError } from './linear-pattern.js';
import { structureIssues } from './schema-structure.js';

export type JsonSchema = Record<string, unknown>;

/** The largest schema, in bytes of its JSON. */
export const MAX_SCHEMA_BYTES = 64 * 1024;

const DRAFT = 'https://json-schema.org/draft/2020-12/schema';

/**
 * How many steps the check of one event may take: `fixed`, plus `perByte` of its size, but `most` at
 * all. A step is a character compared in one state of a pattern, or a character of a value that is
 * compared. Measured: `most` takes 0.1 to 0.25 s.
 */
const STEPS = { fixed: 50_000, perByte: 200, most: 5_000_000 };
/** For each entry into a schema, at the top or by reference; a recursive schema enters many times. */
const STEPS_PER_ENTRY = 50;

/** Of all patterns of a schema together; limits the time and the memory of compiling. */
export const MAX_PATTERN_STATES = 10_000;

/** Errors in one answer; each branch of an `anyOf` adds one. */
const MAX_REASONS = 10;

/** The formats that are checked; the draft ignores those it does not know. */
const TEXT_FORMATS = [
  ...(['date', 'time', 'date-time', 'iso-time', 'iso-date-time', 'duration'] as const),
  ...(['uri', 'uri-reference', 'uri-template', 'email', 'hostname', 'ipv4', 'ipv6'] as const),
  ...(['uuid', 'json-pointer', 'relative-json-pointer', 'byte'] as const),
];
/** Formats are checked with the built-in RegExp, which can take too long for a long text. */
const MAX_FORMATTED_LENGTH = 2_048;

const TOO_MUCH_WORK = 'takes too much work to check against the schema of its type';
const TOO_MUCH_FOR_ANY = 'takes too much work to check even an empty object against';

class TooMuchWork extends Error {}

/** The stack is full: a recursive schema met data that is too deep for it. */
const isStackOverflow = (error: unknown): boolean =>
  error instanceof RangeError && /call stack/i.test(error.message);

/** Ajv that counts steps. */
class MeteredAjv extends Ajv2020 {
  stepsLeft = STEPS.most;
  private patternStatesLeft = MAX_PATTERN_STATES;
  private readonly patterns = new Map<string, LinearPattern>();

  constructor() {
    super({
      // Unknown keywords and formats are allowed by the draft.
      strict: false,
      // Stops at the first wrong item of a long list.
      allErrors: false,
      // `constructor` and other inherited names count as absent.
      ownProperties: true,
      // Inlined everywhere, a schema of 64 KiB could become gigabytes of code.
      inlineRefs: false,
      meta: false,
      validateSchema: false,
      logger: false,
      // Optimizing the code of a large schema takes three times as long as generating it.
      code: { process: counted, optimize: false },
    });
    const regExp = (pattern: string) => this.linearPattern(pattern);
    this.opts.code.regExp = Object.assign(regExp, { code: 'linear regular expression' });
    this.addFormats();
    this.replaceComparingKeywords();
  }

  /** Also called by the compiled code, as `self.spend`. */
  spend(steps: number): void {
    this.stepsLeft -= steps;
    if (this.stepsLeft < 0) throw new TooMuchWork();
  }

  private linearPattern(source: string): LinearPattern {
    const known = this.patterns.get(source);
    if (known) return known;
    const pattern = new LinearPattern(source, (steps) => this.spend(steps));
    this.patternStatesLeft -= pattern.states;
    if (this.patternStatesLeft < 0) {
      const message = `is too large together with the patterns before it: they have more than ${MAX_PATTERN_STATES} states`;
      throw new PatternError(source, message);
    }
    this.patterns.set(source, pattern);
    return pattern;
  }

  private areUnique(items: readonly unknown[]): boolean {
    return new Set(items.map((item) => this.textOf(item))).size === items.length;
  }

  /** {@link canonical}, with its steps counted. */
  private textOf(value: unknown): string {
    const text = canonical(value);
    this.spend(text.length);
    return text;
  }

  private addFormats(): void {
    for (const name of TEXT_FORMATS) {
      const format = formats.default.get(name);
      const matches = typeof format === 'object' && 'validate' in format ? format.validate : format;
      this.addFormat(name, {
        type: 'string',
        validate: (text: string) =>
          text.length <= MAX_FORMATTED_LENGTH &&
          (matches instanceof RegExp
            ? matches.test(text)
            : typeof matches === 'function' &&
              Boolean((matches as (text: string) => unknown)(text))),
      });
    }
  }

  /**
   * Ajv compares each item with each other one, and each value with each of an `enum`: that is
   * quadratic. It also calls `valueOf` of an object, which can be a field of the data.
   */
  private replaceComparingKeywords(): void {
    this.removeKeyword('uniqueItems');
    this.addKeyword({
      keyword: 'uniqueItems',
      type: 'array',
      schemaType: 'boolean',
      compile: (isOn: boolean) => (items: unknown[]) => !isOn || this.areUnique(items),
      error: { message: 'must not contain an item twice' },
    });
    this.removeKeyword('const');
    this.addKeyword({
      keyword: 'const',
      compile: (constant: unknown) => {
        const allowed = canonical(constant);
        return (value: unknown) => this.textOf(value) === allowed;
      },
      error: { message: 'must be the value of the const' },
    });
    this.removeKeyword('enum');
    this.addKeyword({
      keyword: 'enum',
      schemaType: 'array',
      compile: (values: unknown[]) => {
        const allowed = new Set(values.map(canonical));
        return (value: unknown) => allowed.has(this.textOf(value));
      },
      error: { message: 'must be one of the values of the enum' },
    });
  }
}

/** A compiled schema. */
export class DataSchema {
  private readonly ajv = new MeteredAjv();
  private readonly isValid: (data: unknown) => boolean;
  private readonly errors: () => ErrorObject[];

  /** @throws Error when {@link schemaIssues} reports an issue */
  constructor(schema: JsonSchema) {
    const validate = this.ajv.compile(schema);
    this.isValid = (data) => validate(data);
    this.errors = () => validate.errors ?? [];
  }

  /**
   * The ways in which the data does not fit the schema; empty: it fits.
   * @param bytes the approximate size of the data; more steps are allowed for larger data
   */
  issues(data: unknown, bytes: number): Issue[] {
    this.ajv.stepsLeft = Math.min(STEPS.fixed + STEPS.perByte * bytes, STEPS.most);
    try {
      return this.isValid(data) ? [] : reasons(this.errors(), data);
    } catch (error) {
      if (!(error instanceof TooMuchWork) && !isStackOverflow(error)) throw error;
      return [{ path: [], message: TOO_MUCH_WORK }];
    }
  }
}

/** The errors of a schema, with their paths in it; empty: it can be used. */
export function schemaIssues(schema: JsonSchema): Issue[] {
  const problem = jsonProblem(schema);
  if (problem) return [problem];
  if (Buffer.byteLength(JSON.stringify(schema)) > MAX_SCHEMA_BYTES) {
    return [{ path: [], message: `must be at most ${MAX_SCHEMA_BYTES} bytes` }];
  }
  if (schema['$schema'] !== undefined && schema['$schema'] !== DRAFT) {
    return [{ path: ['$schema'], message: `must be ${DRAFT}, or be left out` }];
  }
  if (schema['$async'] !== undefined) return [{ path: ['$async'], message: 'is not supported' }];
  const structure = structureIssues(schema);
  if (structure.length > 0) return structure;
  const meta = metaSchema();
  if (!meta(schema)) return reasons(meta.errors ?? [], schema);
  try {
    const [issue] = compiled(schema).issues({}, 0);
    return issue?.message === TOO_MUCH_WORK ? [{ path: [], message: TOO_MUCH_FOR_ANY }] : [];
  } catch (error) {
    return [{ path: placeOf(error, schema), message: messageOf(error) }];
  }
}

const compiled = (schema: JsonSchema): DataSchema => new DataSchema(schema);

type MetaSchema = ReturnType<typeof Ajv2020.prototype.compile>;
let compiledMetaSchema: MetaSchema | undefined;

/** Compiled on first use, because that takes long. */
function metaSchema(): MetaSchema {
  compiledMetaSchema ??= new Ajv2020({ strict: false, validateFormats: false }).getSchema(DRAFT)!;
  return compiledMetaSchema;
}

/** The first statement of every function that Ajv generates. */
const FIRST_STATEMENT = 'let vErrors = null;';

/** Makes the code that Ajv generated for a schema, or for the target of a reference, count steps. */
function counted(code: string): string {
  return code.replace(FIRST_STATEMENT, `self.spend(${STEPS_PER_ENTRY});${FIRST_STATEMENT}`);
}

function placeOf(error: unknown, schema: JsonSchema): PropertyKey[] {
  const isCause = (key: string, value: unknown): boolean => {
    if (error instanceof MissingRefError) return REFERENCES.has(key) && value === error.missingRef;
    return error instanceof PatternError && (value === error.pattern || key === error.pattern);
  };
  return (
    placeWhere(schema, isCause) ??
    // Ajv reports a reference in its resolved form.
    (error instanceof MissingRefError
      ? placeWhere(schema, (key, value) => REFERENCES.has(key) && isForeign(value))
      : undefined) ??
    []
  );
}

const REFERENCES = new Set(['$ref', '$dynamicRef']);

const isForeign = (reference: unknown): boolean =>
  typeof reference === 'string' && !reference.startsWith('#');

function messageOf(error: unknown): string {
  if (error instanceof PatternError) return error.message;
  if (error instanceof MissingRefError) {
    return 'refers to something that is not in this schema; nothing is fetched';
  }
  return `cannot be compiled: ${readable(error instanceof Error ? error.message : String(error))}`;
}

function placeWhere(
  node: unknown,
  isIt: (key: string, value: unknown) => boolean,
): PropertyKey[] | undefined {
  if (typeof node !== 'object' || node === null) return undefined;
  for (const [key, value] of Object.entries(node)) {
    const step = Array.isArray(node) ? Number(key) : key;
    if (isIt(key, value)) return [step];
    const below = placeWhere(value, isIt);
    if (below) return [step, ...below];
  }
  return undefined;
}

/** The last error is a summary of the others (`must match a schema in anyOf`), so it comes first. */
function reasons(errors: readonly ErrorObject[], data: unknown): Issue[] {
  const named = [...errors].reverse().slice(0, MAX_REASONS);
  return named.map((error) => ({
    path: pathOf(error, data),
    message: MESSAGES[error.keyword] ?? readable(error.message ?? 'is not what its type allows'),
  }));
}

const MESSAGES: Record<string, string> = {
  required: 'is required',
  dependentRequired: 'is required',
  additionalProperties: 'is not a known field',
  unevaluatedProperties: 'is not a known field',
};

/** Parameters of an error that name a field of the value. */
const MEMBERS = [
  'missingProperty',
  'additionalProperty',
  'unevaluatedProperty',
  'propertyName',
] as const;

function pathOf({ instancePath, params }: ErrorObject, data: unknown): PropertyKey[] {
  const path: PropertyKey[] = [];
  let value = data;
  for (const part of instancePath.split('/').slice(1)) {
    const name = part.replaceAll('~1', '/').replaceAll('~0', '~');
    path.push(Array.isArray(value) ? Number(name) : name);
    value = (value as Record<string, unknown> | undefined)?.[name];
  }
  const given = params as Record<string, unknown>;
  const member = MEMBERS.map((name) => given[name]).find((name) => typeof name === 'string');
  return member === undefined ? path : [...path, member];
}

/** JSON with sorted keys: equal values have equal texts. */
function canonical(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'undefined';
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([key, member]) => `${JSON.stringify(key)}:${canonical(member)}`).join(',')}}`;
}

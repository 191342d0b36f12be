/**
 * JSON Schema (draft 2020-12) for the data of an event, so that neither a schema nor the data can
 * keep the process busy: the work is counted, and what takes too much is refused. Nothing is fetched.
 */
import formats from 'ajv-formats';
import { Ajv2020, type ErrorObject, MissingRefError } from 'ajv/dist/2020.js';
import type { Issue } from '../shared/field-errors.js';
import { jsonProblem } from '../shared/json-values.js';
import { readable } from '../shared/readable.js';
import { PatternError, PatternMatcher } from './pattern-matcher.js';

export type JsonSchema = Record<string, unknown>;

/** The largest schema, in bytes of its JSON. */
export const MAX_SCHEMA_BYTES = 64 * 1024;

const DRAFT = 'https://json-schema.org/draft/2020-12/schema';

/**
 * Steps that one event may take: a fixed number, and more the larger it is. One is a character read
 * in one state of a pattern. Measured: five million take about 0.3 s, the few thousand of a small
 * event some milliseconds; honest schemas take a hundredth of it.
 */
const STEPS = { fixed: 20_000, perByte: 100, most: 5_000_000 };
/** The entry into a schema, by reference or at the top. Recursive ones can enter without end. */
const STEPS_PER_ENTRY = 50;

/** Most reasons of one refusal; each branch of an `anyOf` has one. */
const MAX_REASONS = 10;

/** Those that are asserted; others mean nothing here, as the draft wants it. */
const TEXT_FORMATS = [
  ...(['date', 'time', 'date-time', 'iso-time', 'iso-date-time', 'duration'] as const),
  ...(['uri', 'uri-reference', 'uri-template', 'email', 'hostname', 'ipv4', 'ipv6'] as const),
  ...(['uuid', 'json-pointer', 'relative-json-pointer', 'byte'] as const),
];
/** They are checked by the engine of the language, which must not get a long text. */
const MAX_FORMATTED_LENGTH = 2_048;

class TooMuchWork extends Error {}

/** Ajv that counts its steps. */
class MeteredAjv extends Ajv2020 {
  stepsLeft = STEPS.most;

  constructor() {
    super({
      // What the draft does not forbid is nobody's mistake.
      strict: false,
      // A list of a hundred thousand wrong items has one thing wrong with it.
      allErrors: false,
      // `constructor` is a name like any other.
      ownProperties: true,
      // Written out in every place, a schema of 64 KiB could become gigabytes of code.
      inlineRefs: false,
      meta: false,
      validateSchema: false,
      logger: false,
      // Optimizing the code of a large schema takes three times as long as writing it.
      code: { process: counted, optimize: false },
    });
    const makeMatcher = (pattern: string) =>
      new PatternMatcher(pattern, (steps) => this.spend(steps));
    this.opts.code.regExp = Object.assign(makeMatcher, { code: 'linear regular expression' });
    this.addFormats();
    this.replaceComparingKeywords();
  }

  /** Called by the compiled code, too. */
  spend(steps: number): void {
    this.stepsLeft -= steps;
    if (this.stepsLeft < 0) throw new TooMuchWork();
  }

  private areUnique(items: readonly unknown[]): boolean {
    return new Set(items.map((item) => this.textOf(item))).size === items.length;
  }

  /** {@link canonical}, which reads a whole value. */
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
   * Ajv compares each item with each other, and each value with each of a list; and it asks an
   * object for its `valueOf`, which is data here.
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

/** A schema that is ready to check data. */
export class DataSchema {
  private readonly ajv = new MeteredAjv();
  private readonly isValid: (data: unknown) => boolean;
  private readonly errors: () => ErrorObject[];

  /** @throws whatever {@link schemaIssues} would have found */
  constructor(schema: JsonSchema) {
    const validate = this.ajv.compile(schema);
    this.isValid = (data) => validate(data);
    this.errors = () => validate.errors ?? [];
  }

  /**
   * What is wrong with the data; none: nothing.
   * @param bytes how large it is, roughly; decides how much work may be done for it
   */
  issues(data: unknown, bytes: number): Issue[] {
    this.ajv.stepsLeft = Math.min(STEPS.fixed + STEPS.perByte * bytes, STEPS.most);
    try {
      return this.isValid(data) ? [] : reasons(this.errors(), data);
    } catch (error) {
      if (!(error instanceof TooMuchWork)) throw error;
      return [{ path: [], message: 'takes too much work to check against the schema of its type' }];
    }
  }
}

/** What is wrong with a schema, by its place; none: it can be used. */
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
  const meta = metaSchema();
  if (!meta(schema)) return reasons(meta.errors ?? [], schema);
  try {
    compiled(schema);
    return [];
  } catch (error) {
    return [{ path: placeOf(error, schema), message: messageOf(error) }];
  }
}

const compiled = (schema: JsonSchema): DataSchema => new DataSchema(schema);

type MetaSchema = ReturnType<typeof Ajv2020.prototype.compile>;
let compiledMetaSchema: MetaSchema | undefined;

/** Compiled when it is first needed: that takes longer than anything else here. */
function metaSchema(): MetaSchema {
  compiledMetaSchema ??= new Ajv2020({ strict: false, validateFormats: false }).getSchema(DRAFT)!;
  return compiledMetaSchema;
}

/** Where every function that Ajv writes begins. */
const BEGINNING = 'let vErrors = null;';

/** Adds the meter to the code that Ajv has written for a schema or a part that is referred to. */
function counted(code: string): string {
  return code.replace(BEGINNING, `self.spend(${STEPS_PER_ENTRY});${BEGINNING}`);
}

function placeOf(error: unknown, schema: JsonSchema): PropertyKey[] {
  const isCulprit = (key: string, value: unknown): boolean => {
    if (error instanceof MissingRefError) return REFERENCES.has(key) && value === error.missingRef;
    return error instanceof PatternError && (value === error.pattern || key === error.pattern);
  };
  return (
    placeWhere(schema, isCulprit) ??
    // Ajv names a reference as it resolved it.
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

/** The last one is what the others led to: `must match a schema in anyOf`. */
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

/** Members of the parameters of an error that name a member of the value at fault. */
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

/** One text per JSON value: equal values have equal texts. */
function canonical(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'undefined';
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([key, member]) => `${JSON.stringify(key)}:${canonical(member)}`).join(',')}}`;
}

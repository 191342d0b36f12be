import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fieldErrors } from '../shared/field-errors.js';
import { EventType } from './event-type.js';
import { DataSchema, type JsonSchema, MAX_SCHEMA_BYTES, schemaIssues } from './data-schema.js';

const TRADE: JsonSchema = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  type: 'object',
  required: ['tradeId', 'legs'],
  additionalProperties: false,
  properties: {
    tradeId: { type: 'string', pattern: '^T-\\d+$' },
    side: { enum: ['buy', 'sell', { custom: [1] }] },
    'a/b~c': { type: 'integer' },
    legs: { type: 'array', uniqueItems: true, items: { $ref: '#/$defs/leg' } },
    at: { type: 'string', format: 'date-time' },
  },
  $defs: { leg: { type: 'object', properties: { quantity: { type: 'number', minimum: 0 } } } },
};

/** The errors of the data, as a problem contains them. */
const refusal = (schema: JsonSchema, data: unknown) =>
  fieldErrors(
    new DataSchema(schema)
      .issues(data, JSON.stringify(data).length)
      .map(({ path = [], message }) => ({ path: ['data', ...path], message })),
  );
const fields = (schema: JsonSchema, data: unknown) =>
  refusal(schema, data).map(({ field }) => field);

const SETTINGS = {
  name: 'x',
  description: null,
  priority: 'normal' as const,
  transports: [],
  durable: true,
  coalesceMs: null,
  channel: null,
};

const GOOD = { tradeId: 'T-1', legs: [{ quantity: 1 }, { quantity: 2 }] };

describe(DataSchema.name, () => {
  it.each([
    GOOD,
    { ...GOOD, side: { custom: [1] } },
    { ...GOOD, at: '2026-01-31T12:00:00Z', 'a/b~c': 3 },
  ])('takes %j', (data) => expect(refusal(TRADE, data)).toEqual([]));

  it.each([
    ['a text', 'data'],
    [{ legs: [] }, 'data.tradeId'],
    [{ ...GOOD, tradeId: 'X' }, 'data.tradeId'],
    [{ ...GOOD, nope: 1 }, 'data.nope'],
    [{ ...GOOD, legs: [{}, { quantity: -1 }] }, 'data.legs[1].quantity'],
    [
      {
        ...GOOD,
        legs: [
          { quantity: 1, a: 2 },
          { a: 2, quantity: 1 },
        ],
      },
      'data.legs',
    ],
    [{ ...GOOD, side: { custom: [2] } }, 'data.side'],
    [{ ...GOOD, at: 'yesterday' }, 'data.at'],
    [{ ...GOOD, 'a/b~c': 'x' }, 'data.a/b~c'],
  ])('refuses %j and names %s', (data, field) => expect(fields(TRADE, data)).toContain(field));

  it('names the errors of each branch', () => {
    const either = {
      anyOf: [{ required: ['a'] }, { properties: { b: { const: 1 } }, required: ['b'] }],
    };
    expect(fields(either, { b: 2 })).toEqual(['data', 'data.b', 'data.a']);
  });

  it('treats inherited names as absent', () => {
    expect(fields({ required: ['constructor'] }, {})).toEqual(['data.constructor']);
    expect(fields({ additionalProperties: false }, { toString: 1 })).toEqual(['data.toString']);
    expect(fields({ const: { valueOf: 1 } }, { valueOf: 1 })).toEqual([]);
    expect(fields({ const: { toString: 1 } }, { toString: 2 })).toEqual(['data']);
  });

  it('compares values as JSON', () => {
    const json = fc.jsonValue({ maxDepth: 3 });
    fc.assert(
      fc.property(json, json, (one, other) => {
        const isSame = JSON.stringify(sorted(one)) === JSON.stringify(sorted(other));
        expect(fields({ enum: [one] }, other).length === 0).toBe(isSame);
        expect(fields({ const: one }, other).length === 0).toBe(isSame);
        expect(fields({ uniqueItems: true }, [one, other]).length === 0).toBe(!isSame);
      }),
    );
  });
});

/** With the members of every object in one order. */
const sorted = (value: unknown): unknown => {
  if (typeof value !== 'object' || value === null) return value === 0 ? 0 : value;
  if (Array.isArray(value)) return value.map(sorted);
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return { members: members.map(([key, member]) => [key, sorted(member)]) };
};

describe('a check that would take too long', () => {
  const TOO_MUCH = 'takes too much work to check against the schema of its type';
  const nested = (levels: number): unknown => (levels === 0 ? 1 : { a: nested(levels - 1) });

  it('is stopped: a recursive schema', () => {
    const branch = { allOf: [{ properties: { a: { $ref: '#' } } }, { required: ['b'] }] };
    const message = refusal({ anyOf: [branch, branch] }, nested(60));
    expect(message).toEqual([{ field: 'data', message: TOO_MUCH }]);
  });

  it.each(['const', 'enum', 'uniqueItems'])('is stopped: %s of many branches', (keyword) => {
    const data = Array.from({ length: 500 }, () => 'a'.repeat(500));
    const value = { const: ['b'], enum: [['b']], uniqueItems: true }[keyword];
    const message = refusal(
      { anyOf: Array.from({ length: 500 }, () => ({ [keyword]: value })) },
      data,
    );
    expect(message).toEqual([{ field: 'data', message: TOO_MUCH }]);
  });

  it('is not stopped for the size of the data alone', () => {
    const list = { type: 'array', items: { $ref: '#/$defs/x' }, $defs: { x: { pattern: '^a*$' } } };
    expect(
      refusal(
        list,
        Array.from({ length: 60_000 }, () => 'a'),
      ),
    ).toEqual([]);
    expect(refusal({ pattern: '^(a+)+$' }, 'a'.repeat(250_000))).toEqual([]);
  });

  it('is stopped: data that is too deep for the stack of a recursive schema', () => {
    const list = { items: { $ref: '#' } };
    let deep: unknown = [];
    for (let level = 0; level < 20_000; level++) deep = [deep];
    expect(new DataSchema(list).issues(deep, 1 << 20)).toEqual([{ path: [], message: TOO_MUCH }]);
  });

  it('is refused, and not compiled again, if the stored schema does not compile', () => {
    const $defs = { a: { $ref: '#/$defs/b' }, b: { $ref: '#/$defs/a' } };
    const type = new EventType({ ...SETTINGS, schema: { $ref: '#/$defs/a', $defs } });
    const issues = type.dataIssues({}, 10);
    expect(issues[0]?.message).toContain('does not compile');
    expect(type.dataIssues({}, 10)).toEqual(issues);
  });

  it('is fast: patterns, unique items and long lists of values', () => {
    expect(fields({ pattern: '^(a+)+$' }, `${'a'.repeat(250_000)}!`)).toEqual(['data']);
    const items = Array.from({ length: 40_000 }, (_, n) => ({ n }));
    expect(fields({ uniqueItems: true }, [...items, { n: 0 }])).toEqual(['data']);
    const values = Array.from({ length: 5_000 }, (_, n) => n);
    expect(
      fields(
        { items: { enum: values } },
        Array.from({ length: 80_000 }, () => 4_999),
      ),
    ).toEqual([]);
  });
});

const WORDS =
  'type properties $ref $defs items anyOf pattern enum $id id $anchor $dynamicRef if required ' +
  'format $async __proto__ # #/$defs object string nullable $comment const not dependentSchemas $schema';

const alternatives = (count: number) => Array.from({ length: count }, () => ({ type: 'null' }));

const CIRCLE = { b: { anyOf: [{ $ref: '#/$defs/c' }] }, c: { if: { $ref: '#/$defs/b' } } };

/** Each level applies the next twice: valid, but the work doubles with each. */
const doubling = (levels: number): JsonSchema => ({
  $ref: '#/$defs/0',
  $defs: Object.fromEntries(
    Array.from({ length: levels }, (_, n) => {
      const next = n + 1 === levels ? {} : { $ref: `#/$defs/${n + 1}` };
      return [n, { allOf: [next, next] }];
    }),
  ),
});

/** Each pattern has 951 states or a few more; together they may have 10,000. */
const manyPatterns = (count: number) =>
  Array.from({ length: count }, (_, n) => ({ pattern: `a{950}${'b'.repeat(n)}` }));

describe(schemaIssues.name, () => {
  const found = (schema: unknown) =>
    fieldErrors(
      schemaIssues(schema as JsonSchema).map(({ path = [], message }) => ({
        path: ['schema', ...path],
        message,
      })),
    ).map(({ field }) => field);

  it.each([
    [{}],
    [TRADE],
    [{ 'x-note': 1, nonsense: [] }],
    [{ format: 'unknown' }],
    // A tree, and schemas that lead back to themselves for a part of the value.
    [{ properties: { left: { $ref: '#' }, right: { $ref: '#' } }, items: { $dynamicRef: '#' } }],
    [{ $ref: '#/$defs/a~1b%25', $defs: { 'a/b%': { items: { $ref: '#/$defs/a~1b%25' } } } }],
    [{ oneOf: alternatives(500) }],
    [{ const: { $ref: '#/nowhere' }, enum: [{ $ref: '#' }], default: { $ref: '#/x' } }],
  ])('has nothing against %#', (schema) => expect(found(schema)).toEqual([]));

  it.each([
    [{ type: 'strng' }, 'schema.type'],
    [{ properties: { a: { minimum: '1' } } }, 'schema.properties.a.minimum'],
    [{ properties: { a: { $ref: '#/$defs/no' } } }, 'schema.properties.a.$ref'],
    [{ items: { $ref: 'https://example.com/x.json' } }, 'schema.items.$ref'],
    [{ $id: 'https://example.com/a', $ref: 'b.json' }, 'schema.$ref'],
    [{ allOf: [{ pattern: '(' }] }, 'schema.allOf[0].pattern'],
    [{ properties: { a: { pattern: '(a)\\1' } } }, 'schema.properties.a.pattern'],
    [{ patternProperties: { '(?=a)': {} } }, 'schema.patternProperties.(?=a)'],
    [{ items: { pattern: '(a{1000}){1000}' } }, 'schema.items.pattern'],
    [{ allOf: manyPatterns(20) }, 'schema.allOf[10].pattern'],
    [{ $schema: 'http://json-schema.org/draft-07/schema#' }, 'schema.$schema'],
    [{ items: [{}] }, 'schema.items'],
    [{ $async: true }, 'schema.$async'],
    [{ description: 'x'.repeat(MAX_SCHEMA_BYTES) }, 'schema'],
    [{ const: '\u0000' }, 'schema.const'],
    [{ $ref: '#' }, 'schema'],
    [{ $dynamicRef: '#' }, 'schema'],
    [{ $ref: '#me', $defs: { a: { $dynamicAnchor: 'me', not: { $ref: '#me' } } } }, 'schema'],
    [{ properties: { a: { $ref: '#/$defs/b' } }, $defs: CIRCLE }, 'schema.properties.a'],
    [{ items: { dependentSchemas: { a: { $ref: '#/items' } } } }, 'schema.items'],
    [doubling(40), 'schema'],
    [{ $ref: '#/constructor' }, 'schema.$ref'],
    [{ $ref: '#/$defs/a/__proto__', $defs: { a: {} } }, 'schema.$ref'],
    [{ $ref: '#/%E0%A4%A' }, 'schema.$ref'],
    [
      { not: { $id: 'https://example.com/a', $ref: '#/$defs/b' }, $defs: CIRCLE },
      'schema.not.$ref',
    ],
    [{ oneOf: alternatives(501) }, 'schema.oneOf'],
    [{ items: { prefixItems: alternatives(501) } }, 'schema.items.prefixItems'],
    [{ anyOf: Array.from({ length: 5_000 }, () => ({})) }, 'schema.anyOf'],
    [
      { $defs: { a: { allOf: alternatives(499) }, b: { allOf: alternatives(500) } } },
      'schema.$defs.b.allOf[497]',
    ],
  ])('names the place of what is wrong: %#', (schema, field) =>
    expect(found(schema)).toContain(field),
  );

  it('never throws, whatever an object holds', () => {
    const word = fc.constantFrom(...WORDS.split(' '));
    const value = fc.letrec<{ node: unknown }>((tie) => ({
      node: fc.oneof(
        { maxDepth: 4 },
        fc.oneof(word, fc.boolean(), fc.integer(), fc.constant(null)),
        fc.array(tie('node'), { maxLength: 3 }),
        fc.dictionary(word, tie('node'), { maxKeys: 4 }),
      ),
    })).node;
    fc.assert(
      fc.property(fc.dictionary(word, value, { maxKeys: 5 }), value, (schema, data) => {
        if (schemaIssues(schema).length === 0) new DataSchema(schema).issues(data, 100);
      }),
      { numRuns: 300 },
    );
  });
});

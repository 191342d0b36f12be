import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AppError } from '../shared/app-error.js';
import { parsedJson } from './json-body.js';
import { parsedInParts, type PartLimits } from './json-parts.js';

const AMPLE: PartLimits = { part: 100_000, items: Infinity, partText: '100 kB' };

function parsed(text: string, limits = AMPLE): { value: unknown; turns: number } {
  const steps = parsedInParts(text, parsedJson, limits);
  for (let turns = 0; ; turns++) {
    const { done, value } = steps.next();
    if (done) return { value, turns };
  }
}

const refusalOf = (text: string, limits?: PartLimits): AppError => {
  try {
    parsed(text, limits);
  } catch (error) {
    if (error instanceof AppError) return error;
    throw error;
  }
  throw new Error(`accepted: ${text}`);
};

const space = fc.constantFrom('', ' ', '\n\t', '\r\n ');
/** JSON text with white space between any two parts. */
const spaced = fc
  .tuple(fc.json({ stringUnit: 'binary', maxDepth: 4 }), fc.infiniteStream(space))
  .map(([text, spaces]) => {
    const next = (): string => spaces.next().value as string;
    const parts = text.match(/"(?:[^"\\]|\\[^])*"|[{}[\],:]|[^"{}[\],:]+/g)!;
    return next() + parts.map((part) => part + next()).join('');
  });

describe(parsedInParts.name, () => {
  it('reads what JSON.parse reads', () => {
    fc.assert(
      fc.property(spaced, (text) => {
        fc.pre(!text.includes('__proto__'));
        expect(JSON.stringify(parsed(text).value)).toBe(JSON.stringify(JSON.parse(text)));
      }),
    );
  });

  it('refuses what is refused as a whole', () => {
    fc.assert(
      fc.property(
        spaced,
        fc.nat(),
        fc.constantFrom('', '{', '}', '[', ']', ',', ':', '"', '\\', '0', 'x', '\u0000', '\u00a0'),
        fc.nat(2),
        (text, place, inserted, removed) => {
          const at = place % (text.length + 1);
          const broken = text.slice(0, at) + inserted + text.slice(at + removed);
          let expected: unknown;
          try {
            expected = parsedJson(broken);
          } catch {
            expect(refusalOf(broken).code).toMatch(/^(malformed_json|invalid_input)$/);
            return;
          }
          expect(JSON.stringify(parsed(broken).value)).toBe(JSON.stringify(expected));
        },
      ),
      { numRuns: 1_000 },
    );
  });

  it('lets the caller do something else after each item', () => {
    const text = JSON.stringify({ events: Array.from({ length: 1_000 }, () => ({ a: [1] })) });
    expect(parsed(text).turns).toBeGreaterThan(1_000);
  });

  it('names the part that is refused, with its path', () => {
    expect(refusalOf('{"events":[0,{"data":{"__proto__":1}}]}').errors?.[0]?.field).toMatch(
      /^events\[1\].*__proto__$/,
    );
    expect(refusalOf('{"a":{"__proto__":1}}').errors?.[0]?.field).toMatch(/^a.*__proto__$/);
    expect(refusalOf('{"a":[],"__proto__":1}').errors?.[0]?.field).toBe('__proto__');
  });

  it('bounds the members of the object, whatever they are', () => {
    const object = (members: number, value: string) =>
      `{${Array.from({ length: members }, (_, index) => `"m${index}":${value}`).join(',')}}`;
    for (const value of ['1', '[]', '[1]', '{}']) {
      expect(Object.keys(parsed(object(100, value)).value as object)).toHaveLength(100);
      const { kind, errors } = refusalOf(object(101, value));
      expect(kind).toBe('invalid');
      expect(errors).toEqual([{ field: '(body)', message: 'must have at most 100 members' }]);
    }
  });

  it.each([
    ['{"a":[1,"12345678901"]}', 'a[1]', 'too_large'],
    ['{"a":"12345678901"}', 'a', 'too_large'],
    ['{"a":{"b":["1","2","3"]}}', 'a', 'too_large'],
    ['["1","2","3","4"]', '(body)', 'too_large'],
    ['{"a":["1234567890123', 'a[0]', 'too_large'],
    ['{"a":[1,2,3,4]}', 'a', 'invalid'],
  ])('bounds parts and lists: %s', (text, field, kind) => {
    const refusal = refusalOf(text, { part: 12, items: 3, partText: '12 B' });
    expect(refusal.kind).toBe(kind);
    expect(refusal.errors?.[0]?.field).toBe(field);
  });
});

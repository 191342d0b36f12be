import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { itemTexts, jsonTextProblem, memberText } from './json-text.js';

const fieldOf = (text: string): string | undefined => jsonTextProblem(text)?.path.join('/');

/** JSON text of any value, with white space anywhere it may be. */
const spacedJson = fc
  .tuple(fc.jsonValue({ stringUnit: 'binary' }), fc.array(fc.constantFrom('', ' ', '\n', '\t\r ')))
  .map(([value, spaces]) => {
    let count = 0;
    const space = () => (spaces.length === 0 ? '' : spaces[count++ % spaces.length]!);
    const write = (node: unknown): string => {
      if (Array.isArray(node))
        return `[${space()}${node.map(write).join(`${space()},${space()}`)}]`;
      if (typeof node !== 'object' || node === null) return JSON.stringify(node);
      const members = Object.entries(node).map(
        ([key, member]) => `${space()}${JSON.stringify(key)}${space()}:${space()}${write(member)}`,
      );
      return `{${members.join(`${space()},`)}${space()}}`;
    };
    return { value, text: `${space()}${write(value)}${space()}` };
  });

describe(jsonTextProblem.name, () => {
  it('has nothing against what JSON.stringify writes', () => {
    fc.assert(
      fc.property(spacedJson, ({ text }) => {
        fc.pre(!text.includes('__proto__'));
        expect(jsonTextProblem(text)).toBeUndefined();
      }),
    );
  });

  it('finds a name that occurs twice in one object, at any depth, however it is escaped', () => {
    const name = fc.constantFrom('a', 'b', '', '\\', '"', 'é', '10', 'c');
    const written = name.chain((text) =>
      fc.constantFrom(JSON.stringify(text), `"${text.split('').map(escaped).join('')}"`),
    );
    const node = fc.letrec<{ node: string }>((tie) => ({
      node: fc.oneof(
        { maxDepth: 4 },
        fc.constantFrom('1', 'null', '"}{"', '"\\\\"'),
        fc.array(tie('node'), { maxLength: 3 }).map((items) => `[${items.join(',')}]`),
        fc
          .array(fc.tuple(written, tie('node')), { maxLength: 4 })
          .map((members) => `{${members.map(([key, value]) => `${key}:${value}`).join(',')}}`),
      ),
    })).node;
    fc.assert(
      fc.property(node, (text) => {
        let members = 0;
        JSON.parse(text, (key, value: unknown) => {
          if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
            members += Object.keys(value).length;
          }
          return value;
        });
        // Each member has one colon; those in the strings above are none.
        const isComplete = members === text.split(':').length - 1;
        expect(jsonTextProblem(text) === undefined).toBe(isComplete);
      }),
    );
  });

  it('finds them among many names, too', () => {
    const members = Array.from({ length: 1_000 }, (_, n) => `"n${n}":${n}`);
    expect(fieldOf(`{${members.join(',')}}`)).toBeUndefined();
    expect(fieldOf(`{${[...members, '"n7":0'].join(',')}}`)).toBe('n7');
    expect(fieldOf(`[{"x":[0,{${[...members, '"n999":0'].join(',')}}]}]`)).toBe('0/x/1/n999');
  });

  it.each([
    '1234567.123456789012345',
    '100.000000000000000001',
    '-0.1000000000000000055511151231257827',
    '1e-400',
    '1e400',
    '-1e999999999999999999999',
    '9007199254740993',
    '123456789012345678901234567890',
    '0.30000000000000001',
    `0.${'0'.repeat(400)}1`,
  ])('finds a number that a double cannot hold: %s', (number) => {
    expect(fieldOf(`{"a":[true,{"b":${number}}]}`)).toBe('a/1/b');
    expect(fieldOf(number)).toBe('');
  });

  it.each(
    (
      '0 -0 0.0 1.0 1.50 0.1 0.30000000000000004 1e5 1E+2 1e-7 5e-324 1.7976931348623157e308 0e99999 ' +
      `9007199254740992 123456789.125000000000 100000000000000000000 1e22 1${'0'.repeat(30)}e-30 ` +
      `0.${'0'.repeat(30)}1e31`
    ).split(' '),
  )('takes a number that a double holds: %s', (number) => {
    expect(fieldOf(`{"a":${number}}`)).toBeUndefined();
  });

  it('takes every double as it is printed', () => {
    fc.assert(
      fc.property(fc.double({ noDefaultInfinity: true, noNaN: true }), (value) => {
        expect(jsonTextProblem(String(value))).toBeUndefined();
        expect(jsonTextProblem(value.toExponential())).toBeUndefined();
      }),
    );
  });

  it('agrees with exact arithmetic', () => {
    const digits = fc.bigInt({ min: 0n, max: 10n ** 22n });
    fc.assert(
      fc.property(digits, fc.integer({ min: -12, max: 12 }), (whole, exponent) => {
        const text = `${whole}e${exponent}`;
        const printed = /^(\d+)(?:\.(\d+))?(?:e([+-]\d+))?$/.exec(String(Number(text)))!;
        const [, head = '', fraction = '', power = '0'] = printed;
        const scale = 60;
        const one = whole * 10n ** BigInt(scale + exponent);
        const other =
          BigInt(head + fraction) * 10n ** BigInt(scale + Number(power) - fraction.length);
        expect(jsonTextProblem(text) === undefined).toBe(one === other);
      }),
    );
  });

  it('survives any depth and long runs', () => {
    expect(fieldOf('['.repeat(200_000) + ']'.repeat(200_000))).toBeUndefined();
    expect(fieldOf(JSON.stringify('\\"'.repeat(200_000)))).toBeUndefined();
    expect(fieldOf(`1${'0'.repeat(200_000)}1e-200001`)).toBe('');
  });
});

const escaped = (character: string): string =>
  `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;

describe('texts of parts', () => {
  it('are those of the values, without white space', () => {
    fc.assert(
      fc.property(fc.array(spacedJson), spacedJson, (items, { text, value }) => {
        const body = ` {"data2":[1],\n"x":"data" , "\\u0064ata" : ${text} ,"list":\t[ ${items.map((item) => item.text).join(' , ')} ] } `;
        expect(memberText(body, 'data')).toBe(JSON.stringify(value));
        expect(memberText(body, 'none')).toBeUndefined();
        const list = itemTexts(memberText(body, 'list')!);
        expect(list).toEqual(items.map((item) => JSON.stringify(item.value)));
      }),
    );
  });

  it.each([
    ['{"data":{"b":1,"10":2,"2":3}}', '{"b":1,"10":2,"2":3}'],
    ['{"data": {"x": 1.0, "y": -0, "z": 1.50E+2 } }', '{"x":1.0,"y":-0,"z":1.50E+2}'],
    ['{"data":"\\u0061 \\/ b"}', '"\\u0061 \\/ b"'],
    ['{"data" : null}', 'null'],
    ['{"data":7 }', '7'],
  ])('keep what parsing loses: %s', (text, data) => expect(memberText(text, 'data')).toBe(data));
});

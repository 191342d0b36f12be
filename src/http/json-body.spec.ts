import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AppError } from '../shared/app-error.js';
import { jsonBody } from './json-body.js';

const body = (text: string, contentType = 'application/json'): unknown =>
  jsonBody(Buffer.from(text), contentType)?.value;

const codeOf = (read: () => unknown): string | undefined => {
  try {
    read();
    return undefined;
  } catch (error) {
    return error instanceof AppError ? error.code : String(error);
  }
};

describe(jsonBody.name, () => {
  it('reads what JSON.parse reads, unless a member is called __proto__', () => {
    fc.assert(
      fc.property(fc.json({ stringUnit: 'binary' }), (text) => {
        fc.pre(!text.includes('__proto__'));
        expect(JSON.stringify(body(text))).toBe(JSON.stringify(JSON.parse(text)));
      }),
    );
  });

  it('refuses bytes that are not UTF-8, and no others', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1 }), (bytes) => {
        const text = Buffer.concat([Buffer.from('"'), bytes, Buffer.from('"')]);
        const isUtf8 = Buffer.from(text.toString()).equals(text);
        if (!isUtf8) expect(codeOf(() => jsonBody(text, undefined))).toBe('malformed_json');
      }),
    );
  });

  it.each([
    '{"__proto__":1}',
    '[{"a":{"__proto__":null}}]',
    '{"\\u005f\\u005Fproto__":1}',
    '{"__\\u0070roto__":1}',
  ])('refuses a member that is called __proto__: %s', (text) => {
    expect(codeOf(() => body(text))).toBe('invalid_input');
  });

  it.each([
    '{"a":1,"a":2}',
    '[{"b":{"a":1,"\\u0061":1}}]',
    '{"a":1e-400}',
    '[0.10000000000000000001]',
  ])('refuses what parsing would change: %s', (text) =>
    expect(codeOf(() => body(text))).toBe('invalid_input'),
  );

  it.each(['{"a":"__proto__"}', '["\\u005f_proto__"]', '{"__proto":1}', '{"constructor":{}}'])(
    'takes what only resembles it: %s',
    (text) => {
      expect(body(text)).toEqual(JSON.parse(text));
    },
  );

  it.each([
    ['application/json; charset=utf-8', undefined],
    ['application/json;charset="UTF-8"', undefined],
    ['application/json; charset=us-ascii', undefined],
    ['application/json; charset=latin1', 'unsupported_charset'],
    ['application/json; charset=utf-16', 'unsupported_charset'],
  ])('knows the charset of %s: %s', (contentType, code) => {
    expect(codeOf(() => body('{}', contentType))).toBe(code);
  });

  it.each([
    ['identity', undefined],
    [' Identity', undefined],
    ['gzip', 'unsupported_encoding'],
    ['br, identity', 'unsupported_encoding'],
    ['', 'unsupported_encoding'],
  ])('knows the encoding "%s": %s', (encoding, code) => {
    const bytes = Buffer.from('{}');
    expect(codeOf(() => jsonBody(bytes, 'application/json', encoding))).toBe(code);
  });

  it('takes an empty body for none', () => {
    expect(body('')).toBeUndefined();
  });

  it('survives any depth', () => {
    const deep = '['.repeat(100_000) + ']'.repeat(100_000);
    expect(codeOf(() => body(deep))).toBeUndefined();
    expect(codeOf(() => body(deep.replace('[[', '["\\u0061",[')))).toBeUndefined();
  });
});

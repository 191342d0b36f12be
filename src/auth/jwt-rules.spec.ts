import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AppError } from '../shared/app-error.js';
import { readHeader, toPrincipal } from './jwt-rules.js';

const segment = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
const tokenWith = (header: unknown) => `${segment(header)}.${segment({ sub: 'acme' })}.c2ln`;
const claims = { sub: 'acme', exp: 2_000_000_000 };
const refused = expect.objectContaining({ kind: 'unauthenticated', code: 'invalid_token' });

describe(readHeader, () => {
  it.each([
    { alg: 'HS256' },
    { alg: 'RS256', typ: 'JWT', kid: '2026-01' },
    { alg: 'RS256', typ: 'at+jwt' },
    { alg: 'RS256', typ: 'application/at+jwt' },
    { alg: 'RS256', jku: 'https://evil.example/keys', jwk: {}, x5u: 'https://evil.example' },
  ])('reads %j and ignores keys that come with the token', (header) => {
    expect(readHeader(tokenWith(header))).toMatchObject({ alg: header.alg });
    expect(Object.keys(readHeader(tokenWith(header)))).not.toContain('jku');
  });

  it.each([
    ['no algorithm', {}],
    ['an algorithm that is a list', { alg: ['HS256'] }],
    ['a critical extension', { alg: 'HS256', crit: ['exp'] }],
    ['an empty list of critical extensions', { alg: 'HS256', crit: [] }],
    ['an overlong key id', { alg: 'HS256', kid: 'k'.repeat(257) }],
    ['a key id with control characters', { alg: 'HS256', kid: 'a\u0000' }],
    ['a key id that is an object', { alg: 'HS256', kid: { $ne: '' } }],
    ['another type', { alg: 'HS256', typ: 'dpop+jwt' }],
    ['a list for a header', ['HS256']],
    ['null for a header', null],
  ])('refuses %s', (_, header) => {
    expect(() => readHeader(tokenWith(header))).toThrow(refused);
  });

  it('refuses every other way to write the same bytes', () => {
    const token = tokenWith({ alg: 'HS256' });
    for (const variant of [
      `${token}=`,
      `${token}==`,
      token.replace('.', '=.'),
      `${token}\n`,
      ` ${token}`,
    ]) {
      expect(() => readHeader(variant)).toThrow(refused);
    }
    // Two bits of the last character are not part of the two bytes.
    expect(() => readHeader(token.replace(/c2ln$/, 'c2k'))).not.toThrow();
    expect(() => readHeader(token.replace(/c2ln$/, 'c2l'))).toThrow(refused);
  });

  it('names its refusal for any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
        expect(() => readHeader(text)).toThrow(AppError);
      }),
    );
  });
});

describe(toPrincipal, () => {
  it.each([
    [undefined, ['subscriber']],
    [[], []],
    [['publisher'], ['publisher']],
    [['admin', 'admin', 'owner', 7, null], ['admin']],
    [['Admin', '__proto__', ' admin'], []],
  ])('reads the roles %j as %j', (roles, expected) => {
    expect([...toPrincipal({ ...claims, roles }).roles]).toEqual(expected);
  });

  it.each([
    ['no subject', { exp: claims.exp }],
    ['an empty subject', { ...claims, sub: '' }],
    ['an overlong subject', { ...claims, sub: 'a'.repeat(129) }],
    ['a subject with control characters', { ...claims, sub: 'a\nb' }],
    ['a subject that is a number', { ...claims, sub: 7 }],
    ['no end', { sub: 'acme' }],
    ['an end that is text', { ...claims, exp: '2000000000' }],
    ['an end with a fraction', { ...claims, exp: 2_000_000_000.5 }],
    ['an end after the year 9999', { ...claims, exp: 253_402_300_800 }],
    ['an absurd end', { ...claims, exp: 1e20 }],
    ['a negative end', { ...claims, exp: -1 }],
    ['roles that are text', { ...claims, roles: 'admin' }],
    ['a topic that is no pattern', { ...claims, topics: ['trade.*', '*.trade'] }],
    ['more than a hundred topics', { ...claims, topics: Array(101).fill('a') }],
    ['topics that are text', { ...claims, topics: '*' }],
    ['a refresh token', { ...claims, typ: 'Refresh' }],
    ['an id token', { ...claims, token_use: 'id' }],
    ['a refresh token by its type', { ...claims, token_type: 'refresh_token' }],
    ['text for claims', 'acme'],
    ['nothing', undefined],
  ])('refuses %s', (_, payload) => {
    expect(() => toPrincipal(payload)).toThrow(refused);
  });

  it('keeps topics and the end', () => {
    expect(toPrincipal({ ...claims, topics: ['trade.*'], token_use: 'access' })).toEqual({
      ownerId: 'acme',
      roles: new Set(['subscriber']),
      topics: ['trade.*'],
      expiresAtMs: 2_000_000_000_000,
    });
  });

  it('never makes a principal without an owner or an end', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), fc.jsonValue(), (sub, exp, roles) => {
        try {
          const principal = toPrincipal({ sub, exp, roles });
          expect(principal.ownerId).toBe(sub);
          expect(principal.expiresAtMs).toBe((exp as number) * 1000);
        } catch (error) {
          expect(error).toEqual(refused);
        }
      }),
    );
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AppError } from '../shared/app-error.js';
import { readHeader, toPrincipal } from './jwt-rules.js';

const segment = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
const tokenWith = (header: unknown) => `${segment(header)}.${segment({ sub: 'acme' })}.c2ln`;
const claims = { sub: 'acme', exp: 2_000_000_000 };
const nowMs = 1_900_000_000_000;
const principalOf = (payload: unknown, now = nowMs) =>
  toPrincipal(payload, {
    nowMs: now,
    defaultRoles: ['publisher', 'subscriber'],
    tenantClaim: 'tenant',
  });
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

  it.each([null, true, 7, 'text', [], [{ sub: 'acme' }]])('refuses %j for claims', (payload) => {
    const token = `${segment({ alg: 'HS256', typ: 'JWT' })}.${segment(payload)}.c2ln`;
    expect(() => readHeader(token)).toThrow(refused);
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
    ['the subject as both', { sub: 'acme' }, 'acme', 'acme'],
    ['a user of a tenant', { sub: 'alice', tenant: 'acme' }, 'acme', 'alice'],
    ['the claim of another name as nothing', { sub: 'alice', org: 'acme' }, 'alice', 'alice'],
  ])('reads %s', (_, given, ownerId, userId) => {
    expect(principalOf({ ...claims, ...given })).toMatchObject({ ownerId, userId });
  });

  it.each(['https://example.com/tenant', 'org', 'constructor', '__proto__'])(
    'reads the tenant from the claim %s, if that is its name',
    (tenantClaim) => {
      const context = { nowMs, defaultRoles: [], tenantClaim };
      const given = JSON.parse(`{"${tenantClaim}":"acme"}`) as object;
      const payload = Object.defineProperties(
        { ...claims },
        Object.getOwnPropertyDescriptors(given),
      );
      expect(toPrincipal(payload, context).ownerId).toBe('acme');
      expect(toPrincipal(claims, context).ownerId).toBe(claims.sub);
    },
  );

  it.each([
    [undefined, ['publisher', 'subscriber']],
    [[], []],
    [['publisher'], ['publisher']],
    [['admin', 'admin', 'owner', 7, null], ['admin']],
    [['Admin', '__proto__', ' admin'], []],
  ])('reads the roles %j as %j', (roles, expected) => {
    expect([...principalOf({ ...claims, roles }).roles]).toEqual(expected);
  });

  it.each([
    ['no subject', { exp: claims.exp }],
    ['an empty subject', { ...claims, sub: '' }],
    ['an overlong subject', { ...claims, sub: 'a'.repeat(129) }],
    ['a subject with control characters', { ...claims, sub: 'a\nb' }],
    ['a subject that is a number', { ...claims, sub: 7 }],
    ['a tenant that is a number', { ...claims, tenant: 7 }],
    ['a tenant that is null', { ...claims, tenant: null }],
    ['an empty tenant', { ...claims, tenant: '' }],
    ['the tenant of the system', { ...claims, tenant: '$operator' }],
    ['no end', { sub: 'acme' }],
    ['an end that is text', { ...claims, exp: '2000000000' }],
    ['an end after the year 9999', { ...claims, exp: 253_402_300_800 }],
    ['an absurd end', { ...claims, exp: 1e20 }],
    ['a negative end', { ...claims, exp: -1 }],
    ['an end that is infinite', { ...claims, exp: Infinity }],
    ['a begin that is text', { ...claims, nbf: '0' }],
    ['an issue that is a list', { ...claims, iat: [0] }],
    ['an issue 31 s from now', { ...claims, iat: nowMs / 1000 + 31 }],
    ['roles that are null', { ...claims, roles: null }],
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
    expect(() => principalOf(payload)).toThrow(refused);
  });

  it('keeps topics and the end', () => {
    expect(principalOf({ ...claims, topics: ['trade.*'], token_use: 'access' })).toEqual({
      ownerId: 'acme',
      userId: 'acme',
      roles: new Set(['publisher', 'subscriber']),
      topics: ['trade.*'],
      expiresAtMs: 2_000_000_000_000,
    });
  });

  it.each([
    ['an end with a fraction', { exp: 2_000_000_000.5 }, 2_000_000_000_500],
    ['an end below the millisecond', { exp: 1e-9 + 2_000_000_000 }, 2_000_000_000_000],
    ['an issue 30 s from now', { iat: nowMs / 1000 + 30 }, 2_000_000_000_000],
    ['an issue and a begin with fractions', { iat: 7.5, nbf: 7.25 }, 2_000_000_000_000],
    ['an end that has just passed', { exp: nowMs / 1000 - 10 }, nowMs + 20_000],
  ])('takes %s', (_, more, expiresAtMs) => {
    expect(principalOf({ ...claims, ...more })).toMatchObject({ expiresAtMs });
  });

  it('never makes a principal without an owner or an end', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), fc.jsonValue(), (sub, exp, roles) => {
        try {
          const principal = principalOf({ sub, exp, roles }, 0);
          expect(principal.ownerId).toBe(sub);
          const endMs = Math.floor((exp as number) * 1000);
          expect(principal.expiresAtMs).toBe(endMs > 0 ? endMs : endMs + 30_000);
        } catch (error) {
          expect(error).toEqual(refused);
        }
      }),
    );
  });
});

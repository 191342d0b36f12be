import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AppError } from '../shared/app-error.js';
import { grant } from './api-key.js';
import { PRINCIPAL_ROLES, type PrincipalRole, reachesAllOwners } from '../shared/roles.js';
import { canSubscribe, type Principal } from './principal.js';

const anyone = (roles: PrincipalRole[], topics?: string[]): Principal => ({
  ownerId: 'acme',
  userId: 'alice',
  roles: new Set(roles),
  topics,
});

describe(grant, () => {
  it.each([
    ['the creator’s roles', anyone(['publisher', 'subscriber']), {}, ['publisher', 'subscriber']],
    [
      'no role over all owners that was not asked for',
      anyone(['admin']),
      {},
      ['manager', 'publisher', 'subscriber'],
    ],
    [
      'nor of those that the creator has',
      anyone(['operator', 'manager', 'producer']),
      {},
      ['manager'],
    ],
    [
      'an admin role that was asked for',
      anyone(['admin']),
      { roles: ['admin' as const] },
      ['admin'],
    ],
    [
      'fewer roles',
      anyone(['publisher', 'subscriber']),
      { roles: ['subscriber' as const] },
      ['subscriber'],
    ],
    [
      'each role once',
      anyone(['publisher']),
      { roles: ['publisher' as const, 'publisher' as const] },
      ['publisher'],
    ],
  ])('gives %s', (_, creator, request, roles) => {
    expect(grant(creator, request).roles).toEqual(roles);
  });

  it.each([
    ['a role that the creator has not', anyone(['subscriber']), { roles: ['publisher' as const] }],
    ['the admin role from a publisher', anyone(['publisher']), { roles: ['admin' as const] }],
    ['another owner', anyone(['manager']), { ownerId: 'other' }],
    ['another owner to an operator', anyone(['operator', 'manager']), { ownerId: 'other' }],
    ['a topic outside those of an admin', anyone(['admin'], ['a.*']), { topics: ['b'] }],
    [
      'a later end than that of the key it is created with',
      { ...anyone(['manager']), apiKeyId: 'key_1', expiresAtMs: 1_000 },
      { expiresAt: new Date(1_001) },
    ],
    ['a wider topic', anyone(['subscriber'], ['trade.*']), { topics: ['*'] }],
    ['one topic too many', anyone(['subscriber'], ['trade.*']), { topics: ['trade.a', 'order.a'] }],
  ])('refuses %s', (_, creator, request) => {
    expect(() => grant(creator, request)).toThrow(expect.objectContaining({ kind: 'forbidden' }));
  });

  it('lets an admin act for another owner', () => {
    expect(grant(anyone(['admin']), { ownerId: 'other' }).ownerId).toBe('other');
  });

  it('hands the creator’s own limits on when no topics are named', () => {
    expect(grant(anyone(['subscriber'], ['trade.*']), {}).topics).toEqual(['trade.*']);
  });

  it.each([
    ['the end of the key it is created with', { apiKeyId: 'key_1', expiresAtMs: 5 }, {}, 5],
    ['an earlier end', { apiKeyId: 'key_1', expiresAtMs: 5 }, { expiresAt: new Date(4) }, 4],
    ['no end where that key has none', { apiKeyId: 'key_1' }, {}, undefined],
    ['no end for a token, which is renewed', { expiresAtMs: 5 }, {}, undefined],
    ['a later end than that of a token', { expiresAtMs: 5 }, { expiresAt: new Date(6) }, 6],
  ])('gives %s', (_, credential, request, endMs) => {
    const creator: Principal = { ...anyone(['manager']), ...credential };
    expect(grant(creator, request).expiresAt?.getTime()).toBe(endMs);
  });

  it('never gives what its creator does not have', () => {
    const roles = fc.subarray([...PRINCIPAL_ROLES]);
    const topics = fc.option(fc.subarray(['*', 'a.*', 'a.b', 'a.b.*', 'c']), { nil: undefined });
    const asked = fc.record({ roles: fc.option(roles, { nil: undefined }), topics });
    fc.assert(
      fc.property(
        roles,
        topics,
        asked,
        fc.constantFrom('*', 'a.*', 'a.b', 'a.b.c', 'c', 'd'),
        (own, topics, request, probe) => {
          const creator = anyone(own, topics);
          try {
            const given = grant(creator, request);
            const key = { ...creator, roles: new Set(given.roles), topics: given.topics };
            const gainsNoRole = given.roles.every(
              (role) => own.includes(role) || own.includes('admin'),
            );
            const isNamed = (role: PrincipalRole) => request.roles?.includes(role) ?? false;
            const widens = given.roles.some((role) => reachesAllOwners(role) && !isNamed(role));
            return (
              gainsNoRole && !widens && (!canSubscribe(key, probe) || canSubscribe(creator, probe))
            );
          } catch (error) {
            return error instanceof AppError && error.kind === 'forbidden';
          }
        },
      ),
    );
  });
});

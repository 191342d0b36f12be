import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AppError } from '../shared/app-error.js';
import { grant } from './api-key.js';
import { canSubscribe, PRINCIPAL_ROLES, type Principal, type PrincipalRole } from './principal.js';

const anyone = (roles: PrincipalRole[], topics?: string[]): Principal => ({
  ownerId: 'acme',
  roles: new Set(roles),
  topics,
});

describe(grant, () => {
  it.each([
    ['the creator’s roles', anyone(['publisher', 'subscriber']), {}, ['publisher', 'subscriber']],
    ['no admin role that was not asked for', anyone(['admin']), {}, ['publisher', 'subscriber']],
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
    ['another owner', anyone(['publisher']), { ownerId: 'other' }],
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
            return gainsNoRole && (!canSubscribe(key, probe) || canSubscribe(creator, probe));
          } catch (error) {
            return error instanceof AppError && error.kind === 'forbidden';
          }
        },
      ),
    );
  });
});

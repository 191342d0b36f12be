import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Ability,
  knownRoles,
  ownersReached,
  PRINCIPAL_ROLES,
  reachesAllOwners,
  rolesWith,
} from './roles.js';

const ABILITIES: Ability[] = [
  'events:publish',
  'events:read',
  'events:receive',
  'event-types:read',
  'event-types:write',
  'webhooks:read',
  'webhooks:switch',
  'webhooks:write',
  'deliveries:read',
  'deliveries:act',
  'api-keys:manage',
  'connections:manage',
  'audit:read',
];
const roles = fc.subarray([...PRINCIPAL_ROLES]);
const ability = fc.constantFrom(...ABILITIES);

describe(ownersReached, () => {
  it('is what one of the roles reaches by itself', () => {
    fc.assert(
      fc.property(roles, ability, (own, needed) => {
        const each = own.map((role) => ownersReached(new Set([role]), needed));
        const widest = each.includes('all') ? 'all' : each.includes('own') ? 'own' : undefined;
        expect(ownersReached(new Set(own), needed)).toBe(widest);
      }),
    );
  });

  it.each([
    ['admin', ABILITIES],
    ['producer', ['events:publish']],
    ['publisher', ['events:publish', 'event-types:read']],
    ['subscriber', ['events:read', 'events:receive', 'event-types:read']],
  ] as const)('lets the role %s do %j', (role, abilities) => {
    const able = ABILITIES.filter((each) => rolesWith(each).includes(role));
    expect(able.toSorted()).toEqual([...abilities].toSorted());
  });

  it.each(['api-keys:manage', 'webhooks:write', 'events:publish'] as const)(
    'keeps %s from an operator',
    (needed) => {
      expect(ownersReached(new Set(['operator']), needed)).toBeUndefined();
      expect(ownersReached(new Set(['operator', 'manager', 'publisher']), needed)).toBe('own');
    },
  );

  it('lets a guest receive what is public, and nothing else', () => {
    const guest = new Set(['guest'] as const);
    expect(ownersReached(guest, 'events:receive')).toBe('public');
    for (const needed of ['events:read', 'event-types:read', 'connections:manage'] as const) {
      expect(ownersReached(guest, needed)).toBeUndefined();
    }
    expect(knownRoles(['guest'])).toEqual([]);
  });

  it('reaches all owners with three roles only', () => {
    const wide = PRINCIPAL_ROLES.filter((role) => reachesAllOwners(role));
    expect(wide).toEqual(['admin', 'operator', 'producer']);
  });
});

describe(knownRoles, () => {
  it('takes each known name once, and nothing else', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.constantFrom(...PRINCIPAL_ROLES), fc.anything())),
        (names) => {
          const known = knownRoles(names);
          expect(new Set(known).size).toBe(known.length);
          for (const role of PRINCIPAL_ROLES)
            expect(known.includes(role)).toBe(names.includes(role));
        },
      ),
    );
  });
});

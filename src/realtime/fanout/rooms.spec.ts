import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ownerScope, type Principal } from '../../auth/principal.js';
import { matches } from '../../shared/event-pattern.js';
import type { Topic } from '../topic.js';
import { type Audience, roomsOfEvent, roomsOfTopic } from './rooms.js';

const segment = fc.constantFrom('a', 'b', 'ab', 'all');
const type = fc.array(segment, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('.'));
const pattern = fc.oneof(
  type,
  type.map((prefix) => `${prefix}.*`),
  fc.constant('*'),
);
/** Texts that look like parts of rooms, which would make two rooms one if names were ambiguous. */
const tricky = fc
  .oneof(
    fc.array(fc.constantFrom('a', ':', '#', '*', '.', '1', 'public', 'all', 'owner:'), {
      minLength: 1,
      maxLength: 4,
    }),
    fc.constantFrom(['a'], ['b']),
  )
  .map((parts) => parts.join(''));

const topic: fc.Arbitrary<Topic> = fc.record(
  { type: pattern, subject: tricky },
  { requiredKeys: ['type'] },
);
const audience: fc.Arbitrary<Audience> = fc.record({
  ownerId: fc.option(tricky),
  type,
  subject: fc.option(tricky),
});
const principal: fc.Arbitrary<Principal> = fc.record({
  ownerId: tricky,
  userId: tricky,
  roles: fc.constantFrom(
    new Set(['admin'] as const),
    new Set(['operator', 'manager'] as const),
    new Set(['subscriber'] as const),
    new Set(['subscriber', 'producer'] as const),
  ),
});

/** The rule in words. */
const receives = (listener: Principal, wanted: Topic, event: Audience): boolean =>
  (reachesAll(listener) || event.ownerId === null || event.ownerId === listener.ownerId) &&
  matches(wanted.type, event.type) &&
  (wanted.subject === undefined || wanted.subject === event.subject);

const reachesAll = (listener: Principal) => ownerScope(listener, 'events:receive') === undefined;

const meet = (some: string[], others: string[]) => some.some((room) => others.includes(room));

describe('rooms', () => {
  it('of a subscription and an event meet exactly when the event is for the subscription', () => {
    fc.assert(
      fc.property(principal, topic, audience, (listener, wanted, event) => {
        const isSent = meet(roomsOfTopic(listener, wanted), roomsOfEvent(event));
        expect(isSent).toBe(receives(listener, wanted, event));
      }),
      { numRuns: 2_000 },
    );
  });

  it('meet in the cases that chance seldom makes', () => {
    fc.assert(
      fc.property(principal, audience, (listener, event) => {
        const own = { ...event, ownerId: listener.ownerId };
        for (const subject of [undefined, event.subject ?? undefined]) {
          const rooms = roomsOfTopic(listener, { type: event.type, subject });
          expect(meet(rooms, roomsOfEvent(own))).toBe(true);
          expect(meet(rooms, roomsOfEvent({ ...own, ownerId: null }))).toBe(true);
          const foreign = { ...own, ownerId: `${listener.ownerId}x` };
          expect(meet(rooms, roomsOfEvent(foreign))).toBe(reachesAll(listener));
        }
      }),
    );
  });

  it('of two topics are never the same, so that one can be left without the other', () => {
    fc.assert(
      fc.property(principal, topic, topic, (listener, one, other) => {
        const isSame = one.type === other.type && one.subject === other.subject;
        expect(meet(roomsOfTopic(listener, one), roomsOfTopic(listener, other))).toBe(isSame);
      }),
      { numRuns: 1_000 },
    );
  });

  it('of an event are named once each', () => {
    fc.assert(
      fc.property(audience, (event) => {
        const rooms = roomsOfEvent(event);
        expect(new Set(rooms).size).toBe(rooms.length);
      }),
    );
  });
});

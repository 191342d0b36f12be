import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isGuest, ownerScope, type Principal } from '../../auth/principal.js';
import { matches } from '../../shared/event-pattern.js';
import { isChannelTopic, type Topic, topicKey } from '../topic.js';
import { type Audience, roomsOfEvent, roomsOfTopic, roomsOn } from './rooms.js';

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

const topic: fc.Arbitrary<Topic> = fc.oneof(
  fc.record({ type: pattern, subject: tricky }, { requiredKeys: ['type'] }),
  fc.record({ channel: type, subject: tricky }, { requiredKeys: ['channel'] }),
);
interface CataloguedEvent extends Audience {
  channel: string | undefined;
}
const audience: fc.Arbitrary<CataloguedEvent> = fc.record({
  ownerId: fc.option(tricky),
  type,
  subject: fc.option(tricky),
  channel: fc.option(type, { nil: undefined }),
});
const principal: fc.Arbitrary<Principal> = fc.record(
  {
    ownerId: tricky,
    userId: tricky,
    roles: fc.constantFrom(
      new Set(['admin'] as const),
      new Set(['operator', 'manager'] as const),
      new Set(['subscriber'] as const),
      new Set(['subscriber', 'producer'] as const),
      new Set(['guest'] as const),
    ),
    topics: fc.array(pattern, { maxLength: 3 }),
  },
  { requiredKeys: ['ownerId', 'userId', 'roles'] },
);

/** The rule in words. Patterns outside the credential are refused before, not here. */
const receives = (listener: Principal, wanted: Topic, event: CataloguedEvent): boolean =>
  (event.ownerId === null ||
    reachesAll(listener) ||
    (!isGuest(listener) && event.ownerId === listener.ownerId)) &&
  selects(listener, wanted, event) &&
  (wanted.subject === undefined || wanted.subject === event.subject);

const selects = ({ topics }: Principal, wanted: Topic, event: CataloguedEvent): boolean =>
  isChannelTopic(wanted)
    ? wanted.channel === event.channel &&
      (topics === undefined || topics.some((each) => matches(each, event.type)))
    : matches(wanted.type, event.type);

const roomsOf = ({ channel, ...event }: CataloguedEvent) => roomsOfEvent(event, channel);

const reachesAll = (listener: Principal) => ownerScope(listener, 'events:receive') === undefined;

const meet = (some: string[], others: string[]) => some.some((room) => others.includes(room));

describe('rooms', () => {
  it('of a subscription and an event meet exactly when the event is for the subscription', () => {
    fc.assert(
      fc.property(principal, topic, audience, (listener, wanted, event) => {
        const isSent = meet(roomsOfTopic(listener, wanted), roomsOf(event));
        expect(isSent).toBe(receives(listener, wanted, event));
      }),
      { numRuns: 2_000 },
    );
  });

  it('meet in the cases that chance seldom makes', () => {
    fc.assert(
      fc.property(principal, audience, (listener, event) => {
        const { type: name, channel = 'none', ownerId } = { ...event, ownerId: listener.ownerId };
        const own = { ...event, channel, ownerId };
        const foreign = { ...own, ownerId: `${ownerId}x` };
        for (const subject of [undefined, event.subject ?? undefined]) {
          for (const wanted of [
            { type: name, subject },
            { channel, subject },
          ]) {
            const rooms = roomsOfTopic(listener, wanted);
            for (const sent of [own, foreign, { ...own, ownerId: null }]) {
              expect(meet(rooms, roomsOf(sent))).toBe(receives(listener, wanted, sent));
            }
          }
        }
      }),
    );
  });

  it('of two topics are never the same, so that one can be left without the other', () => {
    fc.assert(
      fc.property(principal, topic, topic, (listener, one, other) => {
        const isSame = topicKey(one) === topicKey(other);
        expect(meet(roomsOfTopic(listener, one), roomsOfTopic(listener, other))).toBe(isSame);
      }),
      { numRuns: 1_000 },
    );
  });

  it('on a topic are those of its members, and of no other connection', () => {
    fc.assert(
      fc.property(principal, topic, topic, (member, theirs, wanted) => {
        const { admins, others } = roomsOn(wanted, member.ownerId);
        const rooms = roomsOfTopic(member, theirs);
        const isMember = topicKey(theirs) === topicKey(wanted);
        expect(meet(rooms, [admins, ...others])).toBe(isMember);
        const all = roomsOn(wanted);
        expect(meet(rooms, [all.admins, ...all.others])).toBe(isMember);
        const foreign = roomsOn(wanted, `${member.ownerId}x`);
        expect(meet(rooms, foreign.others)).toBe(false);
      }),
      { numRuns: 1_000 },
    );
  });

  it('of an event are named once each', () => {
    fc.assert(
      fc.property(audience, (event) => {
        const rooms = roomsOf(event);
        expect(new Set(rooms).size).toBe(rooms.length);
      }),
    );
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { matches } from '../shared/event-pattern.js';
import { reaches } from '../shared/visibility.js';
import { type Subscriber, SubscriptionIndex } from './subscription-index.js';

const owner = fc.constantFrom(null, 'ann', 'bob');
const type = fc.constantFrom('a', 'b', 'a.b', 'a.c', 'a.b.c', 'ab');
const pattern = fc.oneof(
  fc.constant('*'),
  type,
  type.map((t) => `${t}.*`),
);
const webhook: fc.Arbitrary<Subscriber> = fc.record({
  id: fc.constantFrom('wh_1', 'wh_2', 'wh_3', 'wh_4'),
  ownerId: owner,
  events: fc.array(pattern, { minLength: 1, maxLength: 3 }),
});
const change = fc.oneof(
  webhook,
  webhook.map((w) => w.id),
);

describe(SubscriptionIndex.name, () => {
  it('finds the same webhooks as asking each one, after any changes', () => {
    fc.assert(
      fc.property(fc.array(change), owner, type, (changes, ownerId, eventType) => {
        const index = new SubscriptionIndex();
        const all = new Map<string, Subscriber>();
        for (const one of changes) {
          // Also between changes, so that a kept result that is outdated would be found.
          index.match(ownerId, eventType);
          if (typeof one === 'string') {
            index.delete(one);
            all.delete(one);
          } else {
            index.set(one);
            all.set(one.id, one);
          }
        }
        const expected = [...all.values()].filter(
          (w) => reaches(w.ownerId, ownerId) && w.events.some((p) => matches(p, eventType)),
        );
        expect(new Set(index.match(ownerId, eventType))).toEqual(new Set(expected));
      }),
    );
  });

  it('names a webhook once, however many of its patterns match', () => {
    const index = new SubscriptionIndex();
    index.set({ id: 'wh_1', ownerId: 'ann', events: ['*', 'a.*', 'a.b'] });
    expect(index.match('ann', 'a.b')).toHaveLength(1);
  });

  it('never confuses an owner whose name looks like a type', () => {
    const index = new SubscriptionIndex();
    index.set({ id: 'wh_1', ownerId: 'b c', events: ['a'] });
    index.set({ id: 'wh_2', ownerId: 'c', events: ['a'] });
    expect(index.match('c', 'a').map((w) => w.id)).toEqual(['wh_2']);
  });
});

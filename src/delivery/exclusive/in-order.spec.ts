import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { firstMissing, nextInOrder, type OrderedHead } from './in-order.js';

const head = (eventId: string, more: Partial<OrderedHead> = {}): OrderedHead => ({
  eventId,
  readyInMs: 0,
  isQuarantined: false,
  ...more,
});
const [a, b, c] = [head('evt_a'), head('evt_b'), head('evt_c')];
const take = (count: number, upToEvent: string, isQuarantined = false) => ({
  kind: 'take',
  count,
  upToEvent,
  isQuarantined,
});

describe(nextInOrder.name, () => {
  it.each<[string, OrderedHead[], string | undefined, object]>([
    ['takes everything that may be sent', [a, b, c], undefined, take(3, 'evt_c')],
    [
      'waits for a head that failed',
      [head('evt_a', { readyInMs: 700 }), b],
      undefined,
      { kind: 'wait', ms: 700 },
    ],
    [
      'stops before one that may not be sent yet',
      [a, b, head('evt_c', { readyInMs: 1 })],
      undefined,
      take(2, 'evt_b'),
    ],
    [
      'waits for an earlier event that has no delivery yet',
      [b, c],
      'evt_a',
      { kind: 'wait', ms: 50 },
    ],
    ['stops before such an event', [a, c], 'evt_b', take(1, 'evt_a')],
    ['ignores a later one', [a, b], 'evt_c', take(2, 'evt_b')],
    [
      'takes a quarantined one alone',
      [head('evt_a', { isQuarantined: true }), b],
      undefined,
      take(1, 'evt_a', true),
    ],
    [
      'stops before a quarantined one',
      [a, head('evt_b', { isQuarantined: true }), c],
      undefined,
      take(1, 'evt_a'),
    ],
  ])('%s', (_, heads, firstMissing, expected) => {
    expect(nextInOrder(heads, firstMissing)).toEqual(expected);
  });
});

describe(firstMissing.name, () => {
  const events = fc.uniqueArray(fc.integer({ min: 100, max: 999 }), { maxLength: 40 });
  const limit = fc.integer({ min: 1, max: 20 });

  it('lets nothing pass an event that is for the webhook, also one that was not read', () => {
    fc.assert(
      fc.property(events, fc.func(fc.boolean()), limit, (numbers, isMatch, max) => {
        const all = numbers.sort((a, b) => a - b).map((n) => ({ eventId: `evt_${n}` }));
        const isForWebhook = ({ eventId }: { eventId: string }) => isMatch(eventId);
        const found = firstMissing(all.slice(0, max), isForWebhook, max);
        const real = all.find(isForWebhook)?.eventId;
        if (real !== undefined) expect(found! <= real).toBe(true);
        // And it waits for no other, if all were read.
        if (all.length < max) expect(found).toBe(real);
      }),
    );
  });
});

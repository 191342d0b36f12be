import { describe, expect, it } from 'vitest';
import { nextInOrder, type OrderedHead } from './in-order.js';

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

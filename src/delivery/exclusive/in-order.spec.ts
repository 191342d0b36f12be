import { describe, expect, it } from 'vitest';
import type { QueueHead } from '../deferred/deferred.store.js';
import { nextInOrder } from './in-order.js';

const head = (eventId: string, more: Partial<QueueHead> = {}): QueueHead => ({
  eventId,
  readyInMs: 0,
  lostLeases: 0,
  batchId: null,
  waitedMs: 0,
  bytes: null,
  ...more,
});
const [a, b, c] = [head('evt_a'), head('evt_b'), head('evt_c')];
const take = (count: number, upToEvent: string, isSuspect = false) => ({
  kind: 'take',
  count,
  upToEvent,
  isSuspect,
});

describe(nextInOrder.name, () => {
  it.each<[string, QueueHead[], string | undefined, object]>([
    ['takes everything that may go', [a, b, c], undefined, take(3, 'evt_c')],
    [
      'waits for a head that failed',
      [head('evt_a', { readyInMs: 700 }), b],
      undefined,
      { kind: 'wait', ms: 700 },
    ],
    [
      'stops before one that may not go yet',
      [a, b, head('evt_c', { readyInMs: 1 })],
      undefined,
      take(2, 'evt_b'),
    ],
    [
      'waits for an earlier event that is not in line yet',
      [b, c],
      'evt_a',
      { kind: 'wait', ms: 50 },
    ],
    ['stops before such an event', [a, c], 'evt_b', take(1, 'evt_a')],
    ['does not mind a later one', [a, b], 'evt_c', take(2, 'evt_b')],
    [
      'takes a suspect alone',
      [head('evt_a', { lostLeases: 2 }), b],
      undefined,
      take(1, 'evt_a', true),
    ],
    [
      'stops before a suspect',
      [a, head('evt_b', { lostLeases: 3 }), c],
      undefined,
      take(1, 'evt_a'),
    ],
  ])('%s', (_, heads, firstOwed, expected) => {
    expect(nextInOrder(heads, firstOwed)).toEqual(expected);
  });
});

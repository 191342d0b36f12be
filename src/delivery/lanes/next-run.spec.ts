import { describe, expect, it } from 'vitest';
import type { HeldHead } from './held-deliveries.store.js';
import { nextRun } from './next-run.js';

const head = (eventId: string, more: Partial<HeldHead> = {}): HeldHead => ({
  eventId,
  readyInMs: 0,
  crashes: 0,
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

describe(nextRun.name, () => {
  it.each<[string, HeldHead[], string | undefined, object]>([
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
      [head('evt_a', { crashes: 2 }), b],
      undefined,
      take(1, 'evt_a', true),
    ],
    ['stops before a suspect', [a, head('evt_b', { crashes: 3 }), c], undefined, take(1, 'evt_a')],
  ])('%s', (_, heads, firstOwed, expected) => {
    expect(nextRun(heads, firstOwed)).toEqual(expected);
  });
});

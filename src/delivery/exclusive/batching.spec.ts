import { describe, expect, it } from 'vitest';
import { type BatchHead, MAX_BATCH_BYTES, nextBatch } from './batching.js';

const batch = { maxEvents: 3, maxWaitMs: 1_000 };
const head = (eventId: string, more: Partial<BatchHead> = {}): BatchHead => ({
  eventId,
  batchId: null,
  waitedMs: 10,
  bytes: 100,
  ...more,
});

describe(nextBatch.name, () => {
  it.each<[string, BatchHead[], object]>([
    [
      'is sent when it is full',
      [head('evt_a'), head('evt_b'), head('evt_c')],
      { kind: 'new', count: 3, upToEvent: 'evt_c' },
    ],
    [
      'waits for others as long as its oldest event may',
      [head('evt_a', { waitedMs: 400 }), head('evt_b')],
      { kind: 'wait', ms: 600 },
    ],
    [
      'is sent as it is when the oldest has waited long enough',
      [head('evt_a'), head('evt_b', { waitedMs: 1_000 })],
      { kind: 'new', count: 2, upToEvent: 'evt_b' },
    ],
    [
      'is the same again after a failure',
      [head('evt_a', { batchId: 'bat_1' }), head('evt_b')],
      { kind: 'again', batchId: 'bat_1' },
    ],
    [
      'does not mix with one that failed',
      [head('evt_a'), head('evt_b', { batchId: 'bat_1' })],
      { kind: 'new', count: 1, upToEvent: 'evt_a' },
    ],
    [
      'is sent when nothing more fits into one body',
      [head('evt_a'), head('evt_b', { bytes: MAX_BATCH_BYTES - 103 }), head('evt_c')],
      { kind: 'new', count: 2, upToEvent: 'evt_b' },
    ],
    [
      'counts the brackets and commas of its body',
      [head('evt_a'), head('evt_b', { bytes: MAX_BATCH_BYTES - 102 })],
      { kind: 'new', count: 1, upToEvent: 'evt_a' },
    ],
    [
      'has one event, however large that is',
      [head('evt_a', { bytes: MAX_BATCH_BYTES * 2 }), head('evt_b')],
      { kind: 'new', count: 1, upToEvent: 'evt_a' },
    ],
  ])('%s', (_, heads, expected) => {
    expect(nextBatch(heads, batch)).toEqual(expected);
  });

  it('is sent at once when it may not wait', () => {
    expect(nextBatch([head('evt_a', { waitedMs: 0 })], { maxEvents: 3, maxWaitMs: 0 })).toEqual({
      kind: 'new',
      count: 1,
      upToEvent: 'evt_a',
    });
  });
});

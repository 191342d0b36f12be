import { describe, expect, it } from 'vitest';
import { Position } from './position.js';

let at = 0;
const position = ({ after = 'e0', windowSize = 100, overlapMs = 0 } = {}) =>
  new Position(after, { windowSize, overlapMs, now: () => at, onMove: () => undefined });

function handOver(to: Position, ...ids: string[]): void {
  for (const id of ids) {
    to.receive(id);
    to.handOver(id);
  }
}

describe(Position, () => {
  it('moves over an event when it was handed over, not when it came', () => {
    const live = position();
    expect(live.receive('e1')).toBe(true);
    expect(live.lastEventId).toBe('e0');
    live.handOver('e1');
    expect(live.lastEventId).toBe('e1');
  });

  it('takes an id once, whether it waits or was handed over, as long as it is in the window', () => {
    const small = position({ windowSize: 2 });
    expect([small.receive('e1'), small.receive('e1'), small.receive('e0')]).toEqual([
      true,
      false,
      false,
    ]);
    handOver(small, 'e1', 'e2');
    expect([small.receive('e1'), small.receive('e0')]).toEqual([false, true]);
  });

  it('stands still during a replay, and then is on the last event that was handed over', () => {
    const resumed = position();
    const replay = resumed.hold();
    handOver(resumed, 'live', 'e1');
    expect(resumed.lastEventId).toBe('e0');
    resumed.settle(replay);
    expect(resumed.lastEventId).toBe('e1');
  });

  it('is not released by the end of a replay that another has overtaken', () => {
    const resumed = position();
    const first = resumed.hold();
    const second = resumed.hold();
    handOver(resumed, 'e1');
    resumed.settle(first);
    expect(resumed.lastEventId).toBe('e0');
    resumed.settle(second);
    expect(resumed.lastEventId).toBe('e1');
  });

  it('follows a replay that is longer than the window as far behind as the window is long', () => {
    const resumed = position({ windowSize: 3 });
    resumed.hold();
    handOver(resumed, 'e1', 'e2', 'e3', 'e4', 'e5');
    expect(resumed.lastEventId).toBe('e2');
    expect(['e3', 'e4', 'e5'].map((id) => resumed.receive(id))).toEqual([false, false, false]);
  });

  it.each([
    ['at once', [0], 0, 'e0'],
    ['at once after several', [0, 1, 2], 2, 'e0'],
    ['when the last one is old', [0, 1, 2], 102, 'e3'],
    ['when one in the middle is old', [0, 60, 150], 160, 'e1'],
    ['when only the beginning is old', [10, 60, 90], 105, 'e0'],
    ['long after all of them', [10, 60, 90], 1_000, 'e3'],
  ])('asks for a little more than was missed: %s', (_when, times, now, expected) => {
    const live = position({ overlapMs: 100 });
    for (const [index, time] of times.entries()) {
      at = time;
      handOver(live, `e${index + 1}`);
    }
    at = now;
    expect(live.resumeAfter).toBe(expected);
  });

  it('asks for no more than the window can tell apart', () => {
    at = 0;
    const small = position({ windowSize: 2, overlapMs: 100 });
    handOver(small, 'e1', 'e2', 'e3');
    expect(small.resumeAfter).toBe('e3');
  });

  it('has nothing to go on after before there was an event', () => {
    const fresh = new Position(undefined, {
      windowSize: 2,
      overlapMs: 100,
      now: () => at,
      onMove: () => undefined,
    });
    expect(fresh.resumeAfter).toBeUndefined();
    handOver(fresh, 'e1', 'e2');
    expect(fresh.resumeAfter).toBe('e1');
  });
});

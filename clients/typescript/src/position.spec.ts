import { describe, expect, it } from 'vitest';
import { Position } from './position.js';

let at = 0;
const position = ({ after = 'e0', windowSize = 100, overlapMs = 0 } = {}) =>
  new Position(after, { windowSize, overlapMs, now: () => at, onMove: () => undefined });

function handle(to: Position, ...ids: string[]): void {
  for (const id of ids) {
    to.receive(id);
    to.markHandled(id);
  }
}

describe(Position, () => {
  it('moves to an event when it was handled, not when it arrived', () => {
    const live = position();
    expect(live.receive('e1')).toBe(true);
    expect(live.lastEventId).toBe('e0');
    live.markHandled('e1');
    expect(live.lastEventId).toBe('e1');
  });

  it('accepts an id once, while it waits, and while it is in the window after it was handled', () => {
    const small = position({ windowSize: 2 });
    expect([small.receive('e1'), small.receive('e1'), small.receive('e0')]).toEqual([
      true,
      false,
      false,
    ]);
    handle(small, 'e1', 'e2');
    expect([small.receive('e1'), small.receive('e0')]).toEqual([false, true]);
  });

  it('does not move during a replay, and moves to the last handled event after it', () => {
    const resumed = position();
    const replay = resumed.beginReplay();
    handle(resumed, 'live', 'e1');
    expect(resumed.lastEventId).toBe('e0');
    resumed.endReplay(replay);
    expect(resumed.lastEventId).toBe('e1');
  });

  it('does not move at the end of a replay when a newer one has begun', () => {
    const resumed = position();
    const first = resumed.beginReplay();
    const second = resumed.beginReplay();
    handle(resumed, 'e1');
    resumed.endReplay(first);
    expect(resumed.lastEventId).toBe('e0');
    resumed.endReplay(second);
    expect(resumed.lastEventId).toBe('e1');
  });

  it('follows a replay longer than the window by the size of the window', () => {
    const resumed = position({ windowSize: 3 });
    resumed.beginReplay();
    handle(resumed, 'e1', 'e2', 'e3', 'e4', 'e5');
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
  ])('resumes a little before the last event: %s', (_when, times, now, expected) => {
    const live = position({ overlapMs: 100 });
    for (const [index, time] of times.entries()) {
      at = time;
      handle(live, `e${index + 1}`);
    }
    at = now;
    expect(live.resumeAfter).toBe(expected);
  });

  it('resumes from no event before the window', () => {
    at = 0;
    const small = position({ windowSize: 2, overlapMs: 100 });
    handle(small, 'e1', 'e2', 'e3');
    expect(small.resumeAfter).toBe('e3');
  });

  it('has no event to resume after before the first one', () => {
    const fresh = new Position(undefined, {
      windowSize: 2,
      overlapMs: 100,
      now: () => at,
      onMove: () => undefined,
    });
    expect(fresh.resumeAfter).toBeUndefined();
    handle(fresh, 'e1', 'e2');
    expect(fresh.resumeAfter).toBe('e1');
  });

  it('begins at a place that the server names, if there is no event', () => {
    const moves: string[] = [];
    const options = { windowSize: 100, overlapMs: 1_000, now: () => at };
    const fresh = new Position(undefined, { ...options, onMove: (id) => moves.push(id) });
    fresh.begin('p1', undefined);
    fresh.begin('p2', undefined);
    expect([fresh.lastEventId, fresh.resumeAfter]).toEqual(['p1', 'p1']);
    handle(fresh, 'e1');
    fresh.begin('p3', undefined);
    expect([fresh.lastEventId, fresh.resumeAfter]).toEqual(['e1', 'p1']);
    at += 1_000;
    expect(fresh.resumeAfter).toBe('e1');
    expect(moves).toEqual(['p1', 'e1']);
  });

  it('begins there again if the log does not reach back to its event, and no other came', () => {
    const lost = position();
    lost.begin('p1', 'e0');
    expect(lost.lastEventId).toBe('p1');
    const moved = position();
    handle(moved, 'e1');
    moved.begin('p1', 'e0');
    expect(moved.lastEventId).toBe('e1');
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type RateLimit, RateWindow } from './rate-window.js';

const limit: RateLimit = { max: 3, perMs: 1_000 };

/** Most of these moments that lie in one half-open window. */
function densest(moments: readonly number[], perMs: number): number {
  const sorted = [...moments].sort((a, b) => a - b);
  return Math.max(
    0,
    ...sorted.map((from, i) => sorted.slice(i).filter((t) => t < from + perMs).length),
  );
}

describe(RateWindow.name, () => {
  it('allows as many as the limit at once, and the next when the first has left the window', () => {
    const window = new RateWindow();
    expect(window.free(limit, 0)).toBe(3);
    window.reserve(3);
    expect(window.free(limit, 5_000)).toBe(0);
    expect(window.nextFreeMs(limit, 5_000)).toBeUndefined();
    window.sent(100, 120);
    window.sent(100, 150);
    window.sent(100, 400);
    expect(window.nextFreeMs(limit, 400)).toBe(1_120);
    expect(window.free(limit, 1_119)).toBe(0);
    expect(window.free(limit, 1_120)).toBe(1);
    expect(window.free(limit, 1_400)).toBe(3);
  });

  it('assumes that a request without a response has arrived after half a second', () => {
    const window = new RateWindow();
    window.reserve(1);
    window.sent(0, 14_000);
    expect(window.nextFreeMs({ max: 1, perMs: 1_000 }, 600)).toBe(1_500);
  });

  it('counts a request that was sent twice as two, the second until its end', () => {
    const window = new RateWindow();
    window.reserve(1);
    window.sent(0, 700);
    window.sentAgain(700);
    expect(window.nextFreeMs({ max: 2, perMs: 1_000 }, 700)).toBe(1_500);
    expect(window.nextFreeMs({ max: 1, perMs: 1_000 }, 700)).toBe(1_700);
  });

  it('frees what was reserved and not sent', () => {
    const window = new RateWindow();
    window.reserve(3);
    window.returnPermit(2);
    expect(window.free(limit, 0)).toBe(2);
  });

  it('follows a limit that is changed', () => {
    const window = new RateWindow();
    window.reserve(3);
    for (let n = 0; n < 3; n++) window.sent(0, 0);
    expect(window.free({ max: 5, perMs: 1_000 }, 10)).toBe(2);
    expect(window.free({ max: 2, perMs: 1_000 }, 10)).toBe(0);
    expect(window.nextFreeMs({ max: 2, perMs: 1_000 }, 10)).toBe(1_000);
  });

  it('never lets more arrive in any window, whatever its owners do and however they change', () => {
    const step = fc.oneof(
      fc.record({ waitMs: fc.integer({ min: 0, max: 400 }) }),
      fc.record({ wanted: fc.integer({ min: 1, max: 6 }) }),
      fc.record({ sendMs: fc.integer({ min: 0, max: 300 }) }),
      fc.constant('unsent' as const),
      fc.record({ takeoverAfterMs: fc.integer({ min: 0, max: 500 }) }),
    );
    const anyLimit = fc.record({
      max: fc.integer({ min: 1, max: 5 }),
      perMs: fc.integer({ min: 100, max: 1_500 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), anyLimit, fc.nat(), (steps, some, seed) => {
        let nowMs = 0;
        let window = new RateWindow();
        let reserved = 0;
        let kept = { state: window.state(0), atMs: 0 };
        const arrivals: number[] = [];
        for (const one of steps) {
          if (one === 'unsent') {
            if (reserved === 0) continue;
            reserved--;
            window.returnPermit(1);
          } else if ('waitMs' in one) {
            nowMs += one.waitMs;
          } else if ('wanted' in one) {
            const granted = Math.min(window.free(some, nowMs), one.wanted);
            window.reserve(granted);
            reserved += granted;
            // Written before anything of it is sent, as the claim does.
            kept = { state: window.state(nowMs), atMs: nowMs };
          } else if ('sendMs' in one) {
            if (reserved === 0) continue;
            reserved--;
            arrivals.push(nowMs + (seed % (one.sendMs + 1)));
            nowMs += one.sendMs;
            window.sent(nowMs - one.sendMs, nowMs);
          } else {
            // The owner crashes, and may have sent its reserved requests at any moment before.
            for (; reserved > 0; reserved--) arrivals.push(nowMs);
            nowMs += one.takeoverAfterMs;
            window = RateWindow.restored(kept.state, nowMs - kept.atMs, nowMs);
            kept = { state: window.state(nowMs), atMs: nowMs };
          }
        }
        expect(densest(arrivals, some.perMs)).toBeLessThanOrEqual(some.max);
      }),
      { numRuns: 500 },
    );
  });
});

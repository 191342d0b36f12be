import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LatencyEstimates } from './latency-estimates.js';

describe(LatencyEstimates.name, () => {
  it('starts with the first observation and follows a change', () => {
    const estimates = new LatencyEstimates();
    expect(estimates.of('wh_1')).toBe(0);
    estimates.observe('wh_1', 100);
    expect(estimates.of('wh_1')).toBe(100);
    for (let n = 0; n < 50; n++) estimates.observe('wh_1', 1_000);
    expect(estimates.of('wh_1')).toBeGreaterThan(990);
  });

  it('stays between the smallest and the largest observation', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(60_000), { minLength: 1 }), (durations) => {
        const estimates = new LatencyEstimates();
        for (const duration of durations) estimates.observe('wh_1', duration);
        const mean = estimates.of('wh_1');
        return mean >= Math.min(...durations) - 1e-6 && mean <= Math.max(...durations) + 1e-6;
      }),
    );
  });
});

function known(latencyMs: number): LatencyEstimates {
  const estimates = new LatencyEstimates();
  estimates.observe('wh', latencyMs);
  return estimates;
}

describe('a deferral', () => {
  it.each([
    ['a second while nothing is known', 0, 500, 1_000],
    ['a second for a short line', 10, 100, 1_000],
    ['as long as the line takes', 100, 500, 5_000],
    ['a minute at most', 30_000, 500, 60_000],
  ])('is %s', (_, latencyMs, line, expected) => {
    expect(known(latencyMs).deferralMs('wh', line, 10, 0)).toBe(expected);
  });

  it('follows those before it, at twice the rate at which the webhook answers', () => {
    const estimates = known(100);
    const waits = [1, 2, 3].map(() => estimates.deferralMs('wh', 500, 10, 0));
    expect(waits).toEqual([5_000, 5_005, 5_010]);
    expect(estimates.deferralMs('another', 500, 10, 0)).toBe(1_000);
  });

  it('never ends before an earlier one, nor outside its limits', () => {
    const step = fc.record({
      afterMs: fc.nat(5_000),
      latencyMs: fc.nat(60_000),
      line: fc.nat(1_000),
    });
    fc.assert(
      fc.property(fc.array(step), fc.integer({ min: 1, max: 50 }), (steps, places) => {
        const estimates = new LatencyEstimates();
        let nowMs = 0;
        let lastAtMs = 0;
        for (const { afterMs, latencyMs, line } of steps) {
          nowMs += afterMs;
          estimates.observe('wh', latencyMs);
          const waitMs = estimates.deferralMs('wh', line, places, nowMs);
          expect(waitMs).toBeGreaterThanOrEqual(1_000);
          expect(waitMs).toBeLessThanOrEqual(60_000);
          // Rounding to whole milliseconds may swap two that fall together.
          expect(nowMs + waitMs).toBeGreaterThanOrEqual(lastAtMs - 1);
          lastAtMs = nowMs + waitMs;
        }
      }),
    );
  });
});

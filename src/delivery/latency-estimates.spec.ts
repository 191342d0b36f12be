import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { deferralMs, LatencyEstimates } from './latency-estimates.js';

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

describe(deferralMs.name, () => {
  it('is how long the line takes, within limits', () => {
    expect(deferralMs(500, 10, 200)).toBe(10_000);
    expect(deferralMs(500, 10, 0)).toBe(1_000);
    expect(deferralMs(500, 10, 14_000)).toBe(60_000);
  });
});

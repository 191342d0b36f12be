import { describe, expect, it } from 'vitest';
import { LatencyEstimates } from './latency-estimates.js';

describe(LatencyEstimates.name, () => {
  it('allows fifty per slot for a webhook that is fast, or not known yet', () => {
    const estimates = new LatencyEstimates();
    expect(estimates.queueLimit('wh_1', 10, 2_000)).toBe(500);
    expect(estimates.queueLimit('wh_1', 10, 2_000, 400)).toBe(50);
    estimates.observe('wh_1', 5);
    expect(estimates.queueLimit('wh_1', 10, 2_000)).toBe(500);
  });

  it('allows what a slow webhook takes in the given time, and never less than its slots', () => {
    const estimates = new LatencyEstimates();
    estimates.observe('wh_1', 200);
    expect(estimates.queueLimit('wh_1', 10, 2_000)).toBe(100);
    estimates.observe('wh_2', 14_000);
    expect(estimates.queueLimit('wh_2', 10, 2_000)).toBe(10);
    expect(estimates.queueLimit('wh_2', 1, 2_000)).toBe(1);
  });

  it('follows a webhook that becomes slower or faster within some ten answers', () => {
    const estimates = new LatencyEstimates();
    estimates.observe('wh_1', 10);
    for (let n = 0; n < 15; n++) estimates.observe('wh_1', 1_000);
    expect(estimates.queueLimit('wh_1', 10, 2_000)).toBeLessThan(22);
    for (let n = 0; n < 40; n++) estimates.observe('wh_1', 10);
    expect(estimates.queueLimit('wh_1', 10, 2_000)).toBe(500);
  });
});

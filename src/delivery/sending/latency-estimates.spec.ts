import { describe, expect, it } from 'vitest';
import { LatencyEstimates } from './latency-estimates.js';

describe(LatencyEstimates.name, () => {
  it('keeps fifty per place for a webhook that is fast, or unknown', () => {
    const estimates = new LatencyEstimates();
    expect(estimates.queueLimit('wh_1', 10)).toBe(500);
    estimates.observe('wh_1', 5);
    expect(estimates.queueLimit('wh_1', 10)).toBe(500);
  });

  it('keeps what a slow webhook takes in two seconds, and never less than it can have out', () => {
    const estimates = new LatencyEstimates();
    estimates.observe('wh_1', 200);
    expect(estimates.queueLimit('wh_1', 10)).toBe(100);
    estimates.observe('wh_2', 14_000);
    expect(estimates.queueLimit('wh_2', 10)).toBe(10);
    expect(estimates.queueLimit('wh_2', 1)).toBe(1);
  });

  it('follows a webhook that becomes slower or faster within some ten answers', () => {
    const estimates = new LatencyEstimates();
    estimates.observe('wh_1', 10);
    for (let n = 0; n < 15; n++) estimates.observe('wh_1', 1_000);
    expect(estimates.queueLimit('wh_1', 10)).toBeLessThan(22);
    for (let n = 0; n < 40; n++) estimates.observe('wh_1', 10);
    expect(estimates.queueLimit('wh_1', 10)).toBe(500);
  });
});

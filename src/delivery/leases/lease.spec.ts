import { describe, expect, it } from 'vitest';
import { pauseAfterMs, POISON_AFTER } from './lease.js';

const HOUR_MS = 3_600_000;

describe(pauseAfterMs.name, () => {
  it('makes no pause at first, and longer ones then', () => {
    const pauses = Array.from({ length: POISON_AFTER }, (_, n) => pauseAfterMs(n, 1_000));
    expect(pauses.slice(0, 5)).toEqual([0, 0, 0, 1_000, 5_000]);
    expect(pauses).toEqual([...pauses].sort((a, b) => a - b));
    expect(Math.max(...pauses)).toBeLessThanOrEqual(HOUR_MS);
  });

  it('spreads the attempts of a delivery that may crash workers over hours', () => {
    const pauses = Array.from({ length: POISON_AFTER }, (_, n) => pauseAfterMs(n, 1_000));
    expect(pauses.reduce((a, b) => a + b)).toBeGreaterThan(2 * HOUR_MS);
  });
});

import { describe, expect, it } from 'vitest';
import { SLOW_START_MS, slowStartLimit } from './circuit-view.js';

describe(slowStartLimit.name, () => {
  it.each([
    [-5_000, 1],
    [0, 1],
    [999, 1],
    [1_000, 2],
    [2_000, 4],
    [5_500, 32],
    [SLOW_START_MS - 1, 512],
    [SLOW_START_MS, Number.POSITIVE_INFINITY],
    [Number.MAX_SAFE_INTEGER, Number.POSITIVE_INFINITY],
  ])('allows, %d ms after the circuit has closed, %d requests at once', (ms, limit) => {
    expect(slowStartLimit(ms)).toBe(limit);
  });
});

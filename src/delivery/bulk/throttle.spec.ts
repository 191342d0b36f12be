import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nextWaitMs, sliceSize, slicesThatFit } from './throttle.js';

const sizes = fc.array(fc.integer({ min: 1, max: 50 }), { maxLength: 20 });
const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

describe(slicesThatFit, () => {
  it('keeps what is open below the bound, unless one slice alone exceeds it', () => {
    fc.assert(
      fc.property(sizes, fc.nat(100), fc.integer({ min: 1, max: 100 }), (slices, open, maxOpen) => {
        const count = slicesThatFit(slices, open, maxOpen);
        const after = open + sum(slices.slice(0, count));
        expect(count === 0 || after <= maxOpen || (open === 0 && count === 1)).toBe(true);
      }),
    );
  });

  it('lets as many go as fit, and one when nothing is open', () => {
    fc.assert(
      fc.property(sizes, fc.nat(100), fc.integer({ min: 1, max: 100 }), (slices, open, maxOpen) => {
        const count = slicesThatFit(slices, open, maxOpen);
        if (count === slices.length) return;
        expect(open + sum(slices.slice(0, count + 1))).toBeGreaterThan(maxOpen);
        expect(count === 0 && open === 0).toBe(false);
      }),
    );
  });
});

describe(sliceSize, () => {
  it.each([
    [1, 1],
    [3, 1],
    [10, 2],
    [1_000, 250],
  ])('is a quarter of %i, and never nothing', (maxOpen, size) => {
    expect(sliceSize(maxOpen)).toBe(size);
  });
});

describe(nextWaitMs, () => {
  it('grows while nothing moves, to five seconds, and falls back at once', () => {
    const waits = [0, 100, 200, 4_000, 5_000].map((waitMs) => nextWaitMs(waitMs, false));
    expect(waits).toEqual([100, 200, 400, 5_000, 5_000]);
    expect(nextWaitMs(5_000, true)).toBe(100);
  });
});

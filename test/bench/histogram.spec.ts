import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Histogram } from '../../bench/histogram.mjs';

/** Rounded up within the bucket, by at most this share of the value. */
const PRECISION = 1 / 64;

const microseconds = fc.oneof(fc.nat(200), fc.nat(1_000_000), fc.nat(2 ** 31 - 1));
const histogramOf = (values: number[]): Histogram => {
  const histogram = new Histogram();
  for (const value of values) histogram.record(value);
  return histogram;
};

describe("the benchmark's histogram", () => {
  it('gives every percentile, never too low and at most 1/64 too high', () => {
    const values = fc.array(microseconds, { minLength: 1, maxLength: 300 });
    const share = fc.constantFrom(0.001, 0.25, 0.5, 0.99, 0.999, 1);
    fc.assert(
      fc.property(values, share, (given, wanted) => {
        const exact = given.toSorted((a, b) => a - b)[Math.ceil(wanted * given.length) - 1]!;
        const found = histogramOf(given).percentile(wanted);
        expect(found).toBeGreaterThanOrEqual(exact);
        expect(found).toBeLessThanOrEqual(exact * (1 + PRECISION));
      }),
    );
  });

  it('keeps the largest value and the number of values exactly', () => {
    fc.assert(
      fc.property(fc.array(microseconds, { minLength: 1 }), (given) => {
        const { count, maxUs } = histogramOf(given).summary();
        expect({ count, maxUs }).toEqual({ count: given.length, maxUs: Math.max(...given) });
      }),
    );
  });

  it('has no percentiles without values', () => {
    expect(new Histogram().summary()).toEqual({ count: 0, p50Us: null, p99Us: null, maxUs: null });
  });

  it('counts values out of range as the nearest value in range', () => {
    expect(histogramOf([-5]).percentile(1)).toBe(0);
    expect(histogramOf([1e15]).percentile(1)).toBe(2 ** 31 - 1);
  });
});

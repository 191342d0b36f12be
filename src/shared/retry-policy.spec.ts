import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  delayBeforeAttemptMs,
  MAX_RETRY_AFTER_MS,
  nominalDelayMs,
  parseRetryAfter,
  type RetryPolicy,
} from './retry-policy.js';

const policy: fc.Arbitrary<RetryPolicy> = fc.oneof(
  fc.record({ schedule: fc.array(fc.integer({ min: 1, max: 86_400_000 }), { maxLength: 20 }) }),
  fc.record({
    baseMs: fc.integer({ min: 1, max: 60_000 }),
    factor: fc.double({ min: 1, max: 10, noNaN: true }),
    maxMs: fc.integer({ min: 60_000, max: 86_400_000 }),
    maxAttempts: fc.integer({ min: 1, max: 100 }),
  }),
);
const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

describe('retry policy', () => {
  it('takes the waits of a schedule in order and then gives up', () => {
    const waits = [2, 3, 4].map((n) => nominalDelayMs({ schedule: [1_000, 5_000] }, n));
    expect(waits).toEqual([1_000, 5_000, undefined]);
  });

  it('grows exponentially up to its maximum', () => {
    const exponential = { baseMs: 100, factor: 2, maxMs: 500, maxAttempts: 5 };
    const waits = [2, 3, 4, 5, 6].map((n) => nominalDelayMs(exponential, n));
    expect(waits).toEqual([100, 200, 400, 500, undefined]);
  });

  it('stays within a fifth of the nominal wait', () => {
    fc.assert(
      fc.property(policy, fc.integer({ min: 2, max: 1_000_000 }), random, (p, n, r) => {
        const nominal = nominalDelayMs(p, n);
        const delay = delayBeforeAttemptMs(p, n, r);
        if (nominal === undefined) return delay === undefined;
        return delay! >= Math.floor(nominal * 0.8) && delay! <= Math.ceil(nominal * 1.2);
      }),
    );
  });

  it('never lets Retry-After shorten a wait or stretch it beyond the limit', () => {
    fc.assert(
      fc.property(policy, random, fc.nat(2 ** 40), (p, r, asked) => {
        const without = delayBeforeAttemptMs(p, 2, r);
        fc.pre(without !== undefined);
        const delay = delayBeforeAttemptMs(p, 2, r, asked)!;
        return delay >= without && delay <= Math.max(without, MAX_RETRY_AFTER_MS);
      }),
    );
  });

  const now = Date.parse('2026-01-01T00:00:00Z');
  it.each([
    ['0', 0],
    ['120', 120_000],
    [' 1 ', 1_000],
    ['Thu, 01 Jan 2026 00:00:05 GMT', 5_000],
    ['Wed, 31 Dec 2025 00:00:00 GMT', undefined],
    ['-5', undefined],
    ['1e9', undefined],
    ['inf', undefined],
    ['soon', undefined],
    ['99999999999', 2 ** 31 * 1_000],
    ['9'.repeat(400), 2 ** 31 * 1_000],
    ['', undefined],
    [null, undefined],
  ])('reads Retry-After %j as %j', (value, expected) => {
    expect(parseRetryAfter(value, now)).toBe(expected);
  });

  it('never throws and never answers with something that is not a wait', () => {
    fc.assert(
      fc.property(fc.string(), (value) => {
        const wait = parseRetryAfter(value, now);
        return wait === undefined || (Number.isFinite(wait) && wait >= 0);
      }),
    );
  });
});

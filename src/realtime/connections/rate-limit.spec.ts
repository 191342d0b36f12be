import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MessageBudget, OwnerRateLimiter, TokenBucket } from './rate-limit.js';

describe(TokenBucket, () => {
  it('grants the burst at once, and says when the next one is granted', () => {
    const bucket = new TokenBucket(10, 3, 0);
    expect([bucket.take(0), bucket.take(0), bucket.take(0)]).toEqual([0, 0, 0]);
    expect(bucket.remaining).toBe(0);
    expect(bucket.take(0)).toBe(100);
    expect(bucket.take(60)).toBe(40);
    expect(bucket.take(100)).toBe(0);
    expect(bucket.take(10_000)).toBe(0);
    expect(bucket.remaining).toBe(2);
  });

  it('never grants more than the burst and what was earned, whatever the pauses', () => {
    const pauses = fc.array(fc.nat(500), { minLength: 1, maxLength: 200 });
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 100 }),
        fc.integer({ min: 1, max: 50 }),
        pauses,
        (perSecond, burst, waits) => {
          const bucket = new TokenBucket(perSecond, burst, 0);
          let now = 0;
          let granted = 0;
          for (const wait of waits) {
            now += wait;
            if (bucket.take(now) === 0) granted++;
          }
          expect(granted).toBeLessThanOrEqual(burst + (now * perSecond) / 1000 + 1e-6);
        },
      ),
    );
  });

  it('grants again after the time that it said', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1000 }),
        fc.integer({ min: 1, max: 50 }),
        (perSecond, burst) => {
          const bucket = new TokenBucket(perSecond, burst, 0);
          for (let n = 0; n < burst; n++) bucket.take(0);
          const wait = bucket.take(0);
          expect(wait).toBeGreaterThan(0);
          expect(bucket.take(wait)).toBe(0);
        },
      ),
    );
  });

  it('takes nothing back when the clock does', () => {
    const bucket = new TokenBucket(1, 1, 1_000);
    expect(bucket.take(1_000)).toBe(0);
    expect(bucket.take(0)).toBeGreaterThan(0);
    expect(bucket.take(1_000)).toBeGreaterThan(0);
    expect(bucket.take(2_000)).toBe(0);
  });
});

describe(OwnerRateLimiter, () => {
  it('gives each owner as much at once, and then as much per second', () => {
    const limiter = new OwnerRateLimiter(10, 3);
    const granted = (owner: string, nowMs: number) =>
      Array.from({ length: 5 }, () => limiter.take(owner, nowMs)).filter(Boolean).length;
    expect(granted('ann', 0)).toBe(3);
    expect(granted('ann', 0)).toBe(0);
    expect(granted('bob', 0)).toBe(3);
    expect(granted('ann', 200)).toBe(2);
    expect(granted('ann', 60_000)).toBe(3);
  });

  it('forgets the owner first that was not seen for longest', () => {
    const limiter = new OwnerRateLimiter(0.001, 1);
    limiter.take('first', 0);
    limiter.take('kept', 0);
    for (let n = 0; n < 9_999; n++) {
      limiter.take('kept', 0);
      limiter.take(`owner ${n}`, 0);
    }
    expect(limiter.take('kept', 0)).toBe(false);
    expect(limiter.take('first', 0)).toBe(true);
  });
});

describe(MessageBudget, () => {
  /** When a client that sends so many messages per second has ignored too many refusals. */
  function endOf(sentPerSecond: number, perSecond: number): number | undefined {
    const budget = new MessageBudget(perSecond, 2 * perSecond, 0);
    const stepMs = 1_000 / sentPerSecond;
    for (let n = 0; n < 60 * sentPerSecond; n++) {
      const nowMs = n * stepMs;
      if (budget.take(nowMs) > 0 && budget.refuse(nowMs)) return nowMs;
    }
    return undefined;
  }

  it.each([
    [8_000, 50, 1_000],
    [1_000, 50, 1_000],
    [250, 50, 5_000],
    [200, 5, 5_000],
    [50, 1, 15_000],
    [100_000, 10_000, 2_000],
  ])('ends for %i messages per second where %i are allowed', (sent, allowed, withinMs) => {
    expect(endOf(sent, allowed)).toBeLessThan(withinMs);
  });

  it.each([
    [50, 50],
    [75, 50],
    [100, 50],
    [10, 5],
  ])('does not end for %i messages per second where %i are allowed', (sent, allowed) => {
    expect(endOf(sent, allowed)).toBeUndefined();
  });
});

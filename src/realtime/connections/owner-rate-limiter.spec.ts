import { describe, expect, it } from 'vitest';
import { OwnerRateLimiter } from './owner-rate-limiter.js';

describe(OwnerRateLimiter, () => {
  it('give each owner as much at once, and then as much per second', () => {
    const budgets = new OwnerRateLimiter(10, 3);
    const granted = (owner: string, nowMs: number) =>
      Array.from({ length: 5 }, () => budgets.take(owner, nowMs)).filter(Boolean).length;
    expect(granted('ann', 0)).toBe(3);
    expect(granted('ann', 0)).toBe(0);
    expect(granted('bob', 0)).toBe(3);
    expect(granted('ann', 200)).toBe(2);
    expect(granted('ann', 60_000)).toBe(3);
  });

  it('forget those first that were not seen for longest', () => {
    const budgets = new OwnerRateLimiter(0.001, 1);
    budgets.take('first', 0);
    budgets.take('kept', 0);
    for (let n = 0; n < 9_999; n++) {
      budgets.take('kept', 0);
      budgets.take(`owner ${n}`, 0);
    }
    expect(budgets.take('kept', 0)).toBe(false);
    expect(budgets.take('first', 0)).toBe(true);
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { agedCount } from './selection.js';

describe(agedCount, () => {
  it('is one in eight over all chances, never all of several, and never more than are taken', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 500 }),
        fc.integer({ min: 1, max: 50 }),
        (limit, steps) => {
          const chances = Array.from({ length: 8 * steps }, (_, n) => n / (8 * steps));
          const aged = chances.map((chance) => agedCount(limit, chance));
          expect(Math.max(...aged)).toBeLessThanOrEqual(Math.max(1, limit - 1));
          expect(aged.reduce((a, b) => a + b, 0)).toBe(limit * steps);
        },
      ),
    );
  });
});

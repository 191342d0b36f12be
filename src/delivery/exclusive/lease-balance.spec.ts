import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { leasesToRelease, leasesToTake } from './lease-balance.js';

const shares = fc.array(fc.nat(50), { minLength: 1, maxLength: 8 });
const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

describe(leasesToTake.name, () => {
  it('is everything for a process that is alone', () => {
    expect(leasesToTake({ processes: 1, owned: 3, mine: 3 }, 10)).toBe(10);
  });

  it('is half for one of two that start together', () => {
    expect(leasesToTake({ processes: 2, owned: 0, mine: 0 }, 10)).toBe(5);
  });

  it('is nothing for a process that has its share already', () => {
    expect(leasesToTake({ processes: 2, owned: 6, mine: 6 }, 2)).toBe(0);
  });

  it('leaves no wanted webhook that no process may take', () => {
    fc.assert(
      fc.property(shares, fc.integer({ min: 1, max: 50 }), (mine, wanted) => {
        const counts = { processes: mine.length, owned: sum(mine) };
        const taken = mine.map((own) => leasesToTake({ ...counts, mine: own }, wanted));
        expect(sum(taken)).toBeGreaterThanOrEqual(wanted);
      }),
    );
  });
});

describe(leasesToRelease.name, () => {
  it('is nothing for a process that is alone, or is off by one', () => {
    expect(leasesToRelease({ processes: 1, owned: 9, mine: 9 })).toBe(0);
    expect(leasesToRelease({ processes: 2, owned: 3, mine: 3 })).toBe(0);
  });

  it('is what a new process may take: it converges, and no process keeps more than its share and one', () => {
    fc.assert(
      fc.property(shares, (start) => {
        const mine = [...start];
        for (let round = 0; round < 10; round++) {
          const counts = { processes: mine.length, owned: sum(mine) };
          const released = mine.map((own) => leasesToRelease({ ...counts, mine: own }));
          let free = sum(released);
          if (free === 0) break;
          for (let i = 0; i < mine.length; i++) mine[i]! -= released[i]!;
          for (let i = 0; i < mine.length; i++) {
            const now = { processes: mine.length, owned: sum(mine), mine: mine[i]! };
            const taken = leasesToTake(now, free);
            mine[i]! += taken;
            free -= taken;
          }
          expect(free).toBe(0);
        }
        expect(sum(mine)).toBe(sum(start));
        if (mine.length > 1) {
          expect(Math.max(...mine)).toBeLessThanOrEqual(Math.ceil(sum(mine) / mine.length) + 1);
        }
      }),
    );
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AppError } from '../shared/app-error.js';
import { BodyBudget } from './body-budget.js';

/** Longer than any test may take. */
const NEVER_MS = 600_000;
const SHARES = { total: 100, perOwner: 40, waitingPerOwner: 3, waitMs: NEVER_MS };

/** Lets promises settle. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

describe(BodyBudget.name, () => {
  it('never gives more than the total and the share of an owner, and serves all that wait', async () => {
    const steps = fc.array(
      fc.record({
        owner: fc.constantFrom('a', 'b', 'c', 'd'),
        bytes: fc.integer({ min: 1, max: 40 }),
      }),
      { maxLength: 30 },
    );
    await fc.assert(
      fc.asyncProperty(steps, fc.infiniteStream(fc.boolean()), async (requests, ends) => {
        const budget = new BodyBudget({ ...SHARES, waitingPerOwner: 30 });
        const running: { owner: string; bytes: number; release: () => void }[] = [];
        let served = 0;
        const check = () => {
          const sum = (of: typeof running) => of.reduce((total, { bytes }) => total + bytes, 0);
          expect(sum(running)).toBeLessThanOrEqual(SHARES.total);
          for (const owner of 'abcd') {
            const own = running.filter((request) => request.owner === owner);
            expect(sum(own)).toBeLessThanOrEqual(SHARES.perOwner);
          }
        };
        for (const { owner, bytes } of requests) {
          void budget.take(owner, bytes).then((release) => {
            served++;
            running.push({ owner, bytes, release });
          });
          if (ends.next().value) running.shift()?.release();
          await settled();
          check();
        }
        while (running.length > 0) {
          running.shift()!.release();
          await settled();
          check();
        }
        expect(served).toBe(requests.length);
      }),
      { numRuns: 50 },
    );
  });

  it('lets no owner wait for the share of another', async () => {
    const budget = new BodyBudget(SHARES);
    await budget.take('a', 40);
    const waiting = budget.take('a', 1);
    await budget.take('b', 40);
    const release = await budget.take('c', 10);
    release();
    void waiting;
  });

  it('refuses an owner of whom too many wait', async () => {
    const budget = new BodyBudget(SHARES);
    const release = await budget.take('a', 40);
    const waiting = [1, 2, 3].map((bytes) => budget.take('a', bytes));
    await expect(budget.take('a', 1)).rejects.toMatchObject({ kind: 'too_many_requests' });
    release();
    await Promise.all(waiting);
    await budget.take('b', 1);
  });

  it.each([
    ['its own', ['a', 'a'], 'too_many_requests'],
    ['all', ['b', 'c', 'd'], 'unavailable'],
  ])('refuses one that has waited too long for %s share', async (_, before, kind) => {
    const budget = new BodyBudget({ ...SHARES, waitMs: 1 });
    for (const owner of before) await budget.take(owner, before.length === 2 ? 20 : 33);
    const refusal = await budget.take('a', 30).catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(AppError);
    expect(refusal).toMatchObject({ kind });
  });
});

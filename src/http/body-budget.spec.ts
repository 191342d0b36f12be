import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AppError } from '../shared/app-error.js';
import { BodyBudget, type Share } from './body-budget.js';

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
          const share = budget.take(owner, bytes);
          void share.granted.then(() => {
            served++;
            running.push({ owner, bytes, release: share.end });
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
    await budget.take('a', 40).granted;
    const waiting = budget.take('a', 1);
    await budget.take('b', 40).granted;
    const other = budget.take('c', 10);
    await other.granted;
    other.end();
    waiting.end();
  });

  it('refuses an owner of whom too many wait', async () => {
    const budget = new BodyBudget(SHARES);
    const first = budget.take('a', 40);
    const waiting = [1, 2, 3].map((bytes) => budget.take('a', bytes).granted);
    expect(() => budget.take('a', 1)).toThrow(
      expect.objectContaining({ kind: 'too_many_requests' }),
    );
    first.end();
    await Promise.all(waiting);
    await budget.take('b', 1).granted;
  });

  it.each([
    ['its own', ['a', 'a'], 'too_many_requests'],
    ['all', ['b', 'c', 'd'], 'unavailable'],
  ])('refuses one that has waited too long for %s share', async (_, before, kind) => {
    const budget = new BodyBudget({ ...SHARES, waitMs: 1 });
    for (const owner of before) await budget.take(owner, before.length === 2 ? 20 : 33).granted;
    const refusal = await budget.take('a', 30).granted.catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(AppError);
    expect(refusal).toMatchObject({ kind });
  });

  it('has all of its memory again when all shares have ended, whatever state they were in', async () => {
    const requests = fc.array(
      fc.record({
        owner: fc.constantFrom('a', 'b', 'c', 'd'),
        bytes: fc.integer({ min: 1, max: 40 }),
        // How many that came before it end when it has come.
        ends: fc.array(fc.nat(), { maxLength: 3 }),
      }),
      { maxLength: 30 },
    );
    await fc.assert(
      fc.asyncProperty(requests, async (steps) => {
        const budget = new BodyBudget({ ...SHARES, waitingPerOwner: 30 });
        const open: Share[] = [];
        for (const { owner, bytes, ends } of steps) {
          open.push(budget.take(owner, bytes));
          for (const index of ends) {
            const [share] = open.splice(index % Math.max(open.length, 1), 1);
            share?.end();
            share?.end();
          }
        }
        for (const share of open) share.end();
        const whole = ['a', 'b'].map((owner) => budget.take(owner, 40));
        whole.push(budget.take('c', 20));
        expect(await Promise.all(whole.map(({ granted }) => granted))).toEqual([true, true, true]);
      }),
      { numRuns: 100 },
    );
  });

  it('goes on with those that waited behind one that has stopped waiting', async () => {
    const budget = new BodyBudget(SHARES);
    const first = budget.take('a', 10);
    for (const [owner, bytes] of [
      ['b', 40],
      ['c', 40],
    ] as const)
      budget.take(owner, bytes);
    const large = budget.take('d', 30);
    const small = budget.take('d', 5);
    large.end();
    expect(await large.granted).toBe(false);
    expect(await small.granted).toBe(true);
    first.end();
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GroupCommit } from './group-commit.js';

const now = () => performance.now();

/** A writer whose batches end when the test ends them. */
function delayedWriter() {
  const batches: { items: number[]; finish: () => void }[] = [];
  const write = (items: number[]) =>
    new Promise<number[]>((resolve) => {
      batches.push({ items, finish: () => resolve(items) });
    });
  return { batches, write };
}

/** Two rounds of the event loop. */
const turn = () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

describe(GroupCommit.name, () => {
  it('writes what arrives in one turn as one batch', async () => {
    const sizes: number[] = [];
    const write = (items: number[]) => {
      sizes.push(items.length);
      return Promise.resolve(items);
    };
    const group = new GroupCommit({ write, now });
    expect(await Promise.all([1, 2, 3].map((n) => group.add(n)))).toEqual([1, 2, 3]);
    expect(sizes).toEqual([3]);
  });

  it('keeps at most two batches in flight and gathers the rest', async () => {
    const { batches, write } = delayedWriter();
    const group = new GroupCommit({ write, minGapMs: 0, now });
    const first = group.add(1);
    await turn();
    const second = group.add(2);
    await turn();
    const rest = [3, 4, 5].map((n) => group.add(n));
    await turn();
    expect(batches.map((b) => b.items)).toEqual([[1], [2]]);
    batches[0]!.finish();
    await first;
    await turn();
    expect(batches[2]!.items).toEqual([3, 4, 5]);
    for (const batch of batches) batch.finish();
    await Promise.all([second, ...rest]);
  });

  it('rejects only the item that the store refuses', async () => {
    const write = (items: number[]) =>
      items.includes(13) ? Promise.reject(new Error('13')) : Promise.resolve(items);
    const group = new GroupCommit({ write, isItemsFault: () => true, now });
    const settled = await Promise.allSettled([11, 12, 13, 14, 15].map((n) => group.add(n)));
    expect(settled.map((s) => s.status)).toEqual(
      [11, 12, 13, 14, 15].map((n) => (n === 13 ? 'rejected' : 'fulfilled')),
    );
  });

  it('writes the next batch after one that failed', async () => {
    let fail = true;
    const write = (items: number[]) =>
      fail ? Promise.reject(new Error()) : Promise.resolve(items);
    const group = new GroupCommit({ write, now });
    await expect(group.add(1)).rejects.toThrow();
    fail = false;
    await expect(group.add(2)).resolves.toBe(2);
  });

  it('answers every item with its own result, in batches of bounded size', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 60 }),
        fc.integer({ min: 1, max: 20 }),
        async (weights, maxRows) => {
          const batches: number[][] = [];
          const write = (items: { id: number; rows: number }[]) => {
            batches.push(items.map((item) => item.rows));
            return Promise.resolve(items.map((item) => item.id));
          };
          const rows = (item: { rows: number }) => item.rows;
          const group = new GroupCommit({ write, rows, maxRows, minGapMs: 0, now });
          const results = await Promise.all(weights.map((w, id) => group.add({ id, rows: w })));
          expect(results).toEqual(weights.map((_, id) => id));
          for (const batch of batches) {
            const beforeLast = batch.slice(0, -1).reduce((sum, r) => sum + r, 0);
            expect(beforeLast).toBeLessThan(maxRows);
          }
        },
      ),
      { numRuns: 30 },
    );
  });
});

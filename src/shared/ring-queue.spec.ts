import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RingQueue } from './ring-queue.js';

describe(RingQueue.name, () => {
  it('gives what came first first, like an array, at any length', () => {
    // Runs of pushes and shifts, so that it grows, wraps around and shrinks.
    const run = fc.integer({ min: -40, max: 40 });
    fc.assert(
      fc.property(fc.array(run, { maxLength: 30 }), (runs) => {
        const fifo = new RingQueue<{ n: number }>();
        const model: { n: number }[] = [];
        let n = 0;
        for (const steps of runs) {
          for (let step = 0; step < Math.abs(steps); step++) {
            if (steps > 0) {
              const item = { n: n++ };
              fifo.push(item);
              model.push(item);
            } else if (step % 3 === 2) {
              expect(fifo.pop()).toBe(model.pop());
            } else {
              expect(fifo.shift()).toBe(model.shift());
            }
            expect(fifo.size).toBe(model.length);
          }
        }
      }),
    );
  });

  it('holds on to no item that it gave away, and to no memory that it needs no more', () => {
    const fifo = new RingQueue<{ n: number }>();
    for (let n = 0; n < 10_000; n++) fifo.push({ n });
    while (fifo.size > 1) fifo.shift();
    const { ring } = fifo as unknown as { ring: unknown[] };
    expect(ring.length).toBeLessThanOrEqual(8);
    expect(ring.filter((slot) => slot !== undefined)).toEqual([{ n: 9_999 }]);
  });
});

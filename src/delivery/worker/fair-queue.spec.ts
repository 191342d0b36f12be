import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FairQueue } from './fair-queue.js';

interface Item {
  webhookId: string;
  priority: number;
  n: number;
}

const item = (webhookId: string, n: number, priority = 1): Item => ({ webhookId, priority, n });

function takeAll(queue: FairQueue<Item>): Item[] {
  const items: Item[] = [];
  for (let next = queue.take(); next; next = queue.take()) {
    items.push(next);
    queue.done(next.webhookId);
  }
  return items;
}

describe(FairQueue.name, () => {
  it('lets webhooks take turns, however long one line is', () => {
    const queue = new FairQueue<Item>(10);
    for (let n = 0; n < 100; n++) queue.push(item('flooded', n));
    queue.push(item('quiet', 0));
    const order = takeAll(queue).map((i) => i.webhookId);
    expect(order.indexOf('quiet')).toBeLessThan(3);
  });

  it('keeps the order within a webhook and a priority', () => {
    const queue = new FairQueue<Item>(10);
    for (let n = 0; n < 50; n++) queue.push(item('a', n));
    expect(takeAll(queue).map((i) => i.n)).toEqual(Array.from({ length: 50 }, (_, n) => n));
  });

  it('prefers high over normal over low, and starves none', () => {
    const queue = new FairQueue<Item>(10);
    for (let n = 0; n < 120; n++) for (const p of [0, 1, 2]) queue.push(item('a', n, p));
    const first = takeAll(queue)
      .slice(0, 120)
      .map((i) => i.priority);
    const count = (priority: number) => first.filter((p) => p === priority).length;
    expect([count(0), count(1), count(2)]).toEqual([80, 30, 10]);
  });

  it('never has more than its maximum out for a webhook, and loses nothing', () => {
    const step = fc.oneof(
      fc.record({ push: fc.constantFrom('a', 'b', 'c'), priority: fc.nat(2) }),
      fc.constant('take' as const),
      fc.constant('done' as const),
    );
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 200 }),
        fc.integer({ min: 1, max: 3 }),
        (steps, max) => {
          const queue = new FairQueue<Item>(max);
          const out: Item[] = [];
          let pushed = 0;
          let taken = 0;
          for (const one of steps) {
            if (one === 'take') {
              const next = queue.take();
              if (next) out.push(next);
              if (next) taken++;
            } else if (one === 'done') {
              const finished = out.shift();
              if (finished) queue.done(finished.webhookId);
            } else {
              queue.push(item(one.push, pushed++, one.priority));
            }
            for (const id of ['a', 'b', 'c']) {
              expect(out.filter((i) => i.webhookId === id).length).toBeLessThanOrEqual(max);
            }
            expect(queue.size).toBe(pushed - taken);
          }
          for (const finished of out) queue.done(finished.webhookId);
          expect(takeAll(queue).length).toBe(pushed - taken);
        },
      ),
    );
  });

  it('hands back what waits when it is drained', () => {
    const queue = new FairQueue<Item>(1);
    for (let n = 0; n < 3; n++) queue.push(item('a', n));
    const out = queue.take()!;
    expect(queue.drain().map((i) => i.n)).toEqual([1, 2]);
    queue.done(out.webhookId);
    expect(queue.take()).toBeUndefined();
    expect(queue.lengthOf('a')).toBe(0);
  });
});

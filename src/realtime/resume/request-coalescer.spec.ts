import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RequestCoalescer } from './request-coalescer.js';
import { FairSemaphore } from './fair-semaphore.js';

/** Reads the value of a counter at the moment at which the read begins. */
const placesFor = (running: number): FairSemaphore =>
  new FairSemaphore({ running, runningPerOwner: running, waitingPerOwner: 100 });

function counterReads({ semaphore = placesFor(10), pause = () => Promise.resolve() } = {}) {
  const counter = { value: 0, reads: 0, running: 0, most: 0 };
  const shared = new RequestCoalescer<number, number>({
    semaphore,
    pause,
    async read() {
      const { value } = counter;
      counter.reads++;
      counter.most = Math.max(counter.most, ++counter.running);
      for (let turn = 0; turn < 5; turn++) await Promise.resolve();
      counter.running--;
      return value;
    },
  });
  return { counter, shared };
}

const turnsLater = async (count: number): Promise<void> => {
  for (let turn = 0; turn < count; turn++) await Promise.resolve();
};

describe(RequestCoalescer.name, () => {
  it('reads once for all requests that come before it begins', async () => {
    const { counter, shared } = counterReads();
    await Promise.all([
      shared.get('key', 1, 'acme'),
      shared.get('key', 2, 'acme'),
      shared.get('key', 3, 'acme'),
    ]);
    expect(counter.reads).toBe(1);
  });

  it('never returns what was read before the request', async () => {
    const step = fc.record({ key: fc.constantFrom('a', 'b'), wait: fc.nat(8) });
    await fc.assert(
      fc.asyncProperty(fc.array(step), fc.integer({ min: 1, max: 3 }), async (steps, max) => {
        const { counter, shared } = counterReads({ semaphore: placesFor(max) });
        const checks: Promise<void>[] = [];
        for (const { key, wait } of steps) {
          const expected = ++counter.value;
          const result = shared.get(key, expected, 'acme');
          checks.push(result.then((value) => expect(value).toBeGreaterThanOrEqual(expected)));
          await turnsLater(wait);
        }
        await Promise.all(checks);
        expect(counter.most).toBeLessThanOrEqual(max);
      }),
    );
  });

  it('pauses between two reads under one key, and not for others', async () => {
    let isOver = (): void => undefined;
    const pause = () => new Promise<void>((resolve) => (isOver = resolve));
    const { counter, shared } = counterReads({ pause });
    await shared.get('key', 1, 'acme');
    const endPause = isOver;
    const later = [shared.get('key', 2, 'acme'), shared.get('key', 3, 'acme')];
    await shared.get('other', 4, 'acme');
    expect(counter.reads).toBe(2);
    endPause();
    await Promise.all(later);
    expect(counter.reads).toBe(3);
  });

  it('rejects all requests when the read fails, and reads again for the next one', async () => {
    let reads = 0;
    const shared = new RequestCoalescer<number, string>({
      semaphore: placesFor(1),
      pause: () => Promise.resolve(),
      read: () => (reads++ === 0 ? Promise.reject(new Error('gone')) : Promise.resolve('there')),
    });
    const both = await Promise.allSettled([
      shared.get('key', 1, 'acme'),
      shared.get('key', 2, 'acme'),
    ]);
    expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(await shared.get('key', 3, 'acme')).toBe('there');
  });
});

import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PRODUCTION_TIMINGS } from '../../src/config/timings.js';
import {
  type Channel,
  CHANNELS,
  NotificationListener,
} from '../../src/database/notification.listener.js';
import { TableCache, type TableCacheOptions } from '../../src/database/table.cache.js';
import { DeliveryRows } from '../support/delivery-rows.js';
import { eventually } from '../support/eventually.js';

/** Longer than any test. */
const NEVER_MS = 3_600_000;
const QUIET = { what: 'a table', channel: 'webhooks', pollMs: NEVER_MS, minGapMs: 1 } as const;

let rows: DeliveryRows;
let listener: NotificationListener;
const caches: TableCache[] = [];

beforeEach(async () => {
  rows = await DeliveryRows.create();
  listener = new NotificationListener(rows.postgres, PRODUCTION_TIMINGS);
});
afterEach(async () => {
  await Promise.all(caches.splice(0).map((cache) => cache.stop()));
  await listener.onApplicationShutdown();
  await rows.drop();
});

function cacheOf(read: () => Promise<void>, options: Partial<TableCacheOptions> = {}): TableCache {
  const cache = new TableCache(listener, { ...QUIET, read, ...options });
  caches.push(cache);
  return cache;
}

/** Reads that the test delays or lets fail. */
class Reads {
  begun = 0;
  ended = 0;
  failure: Error | undefined;
  private delayed: (() => void)[] | undefined;

  readonly read = async (): Promise<void> => {
    this.begun++;
    await new Promise<void>((resolve) => (this.delayed ? this.delayed.push(resolve) : resolve()));
    this.ended++;
    if (this.failure) throw this.failure;
  };

  hold(): void {
    this.delayed = [];
  }

  release(): void {
    for (const end of this.delayed ?? []) end();
    this.delayed = undefined;
  }

  async expectBegun(count: number): Promise<void> {
    await eventually(() => expect(this.begun).toBe(count));
  }

  async expectEnded(count: number): Promise<void> {
    await eventually(() => expect(this.ended).toBe(count));
  }
}

/** A cache that receives notifications; it has read twice: at its start and when the listener connected. */
async function startedCache(
  reads: Reads,
  options: Partial<TableCacheOptions> = {},
): Promise<TableCache> {
  const cache = cacheOf(reads.read, options);
  await cache.start();
  await listener.start();
  await eventually(() => expect(reads.ended).toBeGreaterThanOrEqual(2));
  return cache;
}

/** Notifies, and settles when this process has received all of it. */
async function notify(channel: Channel, times = 1): Promise<void> {
  let received = 0;
  listener.on(channel, () => received++);
  for (let n = 0; n < times; n++) await rows.query(`NOTIFY ${CHANNELS[channel]}`);
  await eventually(() => expect(received).toBe(times));
}

describe('a cache of a table', () => {
  it('has read when it has started, and fails to start if the read fails', async () => {
    const reads = new Reads();
    await cacheOf(reads.read).start();
    expect(reads.ended).toBe(1);
    const failing = cacheOf(() => Promise.reject(new Error('no such table')));
    await expect(failing.start()).rejects.toThrow('no such table');
  });

  it('reads on every notification', async () => {
    const reads = new Reads();
    await startedCache(reads);
    for (const count of [3, 4, 5]) {
      await notify('webhooks');
      await reads.expectEnded(count);
    }
  });

  it('reads at intervals without a notification', async () => {
    const reads = new Reads();
    await cacheOf(reads.read, { pollMs: 5 }).start();
    await eventually(() => expect(reads.ended).toBeGreaterThan(3));
  });

  it.each([
    ['of a caller', (cache: TableCache) => void cache.refresh()],
    ['of a notification', () => notify('webhooks')],
  ])('reads exactly once more for all notifications during a read %s', async (_what, begin) => {
    const [reads, control] = [new Reads(), new Reads()];
    await cacheOf(control.read, { channel: 'eventTypes' }).start();
    const cache = await startedCache(reads);
    reads.hold();
    await begin(cache);
    await reads.expectBegun(3);
    for (let n = 0; n < 3; n++) await notify('webhooks');
    expect(reads).toMatchObject({ begun: 3, ended: 2 });
    reads.release();
    await reads.expectEnded(4);
    for (const count of [3, 4, 5]) {
      await notify('eventTypes');
      await control.expectEnded(count);
    }
    expect(reads.begun).toBe(4);
  });

  it('keeps the gap between reads, unless a caller asks for one', async () => {
    const reads = new Reads();
    const cache = await startedCache(reads, { minGapMs: NEVER_MS });
    await notify('webhooks', 3);
    expect(reads.begun).toBe(2);
    await cache.refresh();
    expect(reads.ended).toBe(3);
  });

  it('reads again after a failed read', async () => {
    const reads = new Reads();
    const cache = await startedCache(reads);
    reads.failure = new Error('the store is down');
    await notify('webhooks');
    await reads.expectEnded(3);
    await expect(cache.refresh()).rejects.toThrow('the store is down');
    reads.failure = undefined;
    await cache.refresh();
    await notify('webhooks');
    await reads.expectEnded(6);
  });

  it('stops after the present read, and starts no other', async () => {
    const [reads, control] = [new Reads(), new Reads()];
    await cacheOf(control.read).start();
    const cache = await startedCache(reads, { pollMs: 5 });
    reads.hold();
    await notify('webhooks');
    await eventually(() => expect(reads.begun).toBe(reads.ended + 1));
    await notify('webhooks');
    let hasStopped = false;
    const stopped = cache.stop().then(() => (hasStopped = true));
    const { begun } = reads;
    const before = control.begun;
    await notify('webhooks');
    await eventually(() => expect(control.begun).toBeGreaterThan(before));
    expect(hasStopped).toBe(false);
    reads.release();
    await stopped;
    expect(reads.ended).toBe(begun);
    await notify('webhooks');
    await eventually(() => expect(control.begun).toBeGreaterThan(before + 1));
    expect(reads.begun).toBe(begun);
  });
});

describe('a refresh', () => {
  it('during a read leads to one more, which all callers since then share', async () => {
    const reads = new Reads();
    const cache = cacheOf(reads.read);
    reads.hold();
    const first = cache.refresh();
    await reads.expectBegun(1);
    const others = [1, 2, 3].map(() => cache.refresh());
    expect(reads.begun).toBe(1);
    reads.release();
    await Promise.all([first, ...others]);
    expect(reads).toMatchObject({ begun: 2, ended: 2 });
  });

  it('covers all earlier changes, and never reads twice at once', async () => {
    const asked = fc.array(fc.boolean(), { minLength: 1, maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), asked, async (scheduler, failures) => {
        let [table, copy, underWay] = [0, 0, 0];
        const outcomes = [...failures];
        const read = async () => {
          expect(++underWay).toBe(1);
          const seen = table;
          const isFailure = outcomes.pop() ?? false;
          await scheduler.schedule(Promise.resolve());
          underWay--;
          if (isFailure) throw new Error('the store is down');
          copy = seen;
        };
        const cache = new TableCache(listener, { ...QUIET, read });
        const change = async () => {
          await scheduler.schedule(Promise.resolve());
          const committed = ++table;
          const outcome = await cache.refresh().catch(String);
          if (outcome === undefined) expect(copy).toBeGreaterThanOrEqual(committed);
          else expect(outcome).toBe('Error: the store is down');
        };
        await scheduler.waitFor(Promise.all(failures.map(change)));
      }),
    );
  });
});

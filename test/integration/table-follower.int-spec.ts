import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
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
const followers: TableCache[] = [];

beforeEach(async () => {
  rows = await DeliveryRows.create();
  listener = new NotificationListener(rows.postgres);
});
afterEach(async () => {
  await Promise.all(followers.splice(0).map((follower) => follower.stop()));
  await listener.onApplicationShutdown();
  await rows.drop();
});

function followerOf(
  read: () => Promise<void>,
  options: Partial<TableCacheOptions> = {},
): TableCache {
  const follower = new TableCache(listener, { ...QUIET, read, ...options });
  followers.push(follower);
  return follower;
}

/** Reads that can be made to wait or to fail. */
class Reads {
  begun = 0;
  ended = 0;
  failure: Error | undefined;
  private held: (() => void)[] | undefined;

  readonly read = async (): Promise<void> => {
    this.begun++;
    await new Promise<void>((resolve) => (this.held ? this.held.push(resolve) : resolve()));
    this.ended++;
    if (this.failure) throw this.failure;
  };

  hold(): void {
    this.held = [];
  }

  release(): void {
    for (const end of this.held ?? []) end();
    this.held = undefined;
  }

  async expectBegun(count: number): Promise<void> {
    await eventually(() => expect(this.begun).toBe(count));
  }

  async expectEnded(count: number): Promise<void> {
    await eventually(() => expect(this.ended).toBe(count));
  }
}

/** A follower that is told of changes; it has read twice, at its start and when the listener came. */
async function following(
  reads: Reads,
  options: Partial<TableCacheOptions> = {},
): Promise<TableCache> {
  const follower = followerOf(reads.read, options);
  await follower.start();
  await listener.start();
  await eventually(() => expect(reads.ended).toBeGreaterThanOrEqual(2));
  return follower;
}

/** Tells of changes, and settles when this process has heard of all of them. */
async function tell(channel: Channel, times = 1): Promise<void> {
  let heard = 0;
  listener.on(channel, () => heard++);
  for (let n = 0; n < times; n++) await rows.query(`NOTIFY ${CHANNELS[channel]}`);
  await eventually(() => expect(heard).toBe(times));
}

describe('a follower of a table', () => {
  it('has read when it has started, and does not start if it cannot', async () => {
    const reads = new Reads();
    await followerOf(reads.read).start();
    expect(reads.ended).toBe(1);
    const failing = followerOf(() => Promise.reject(new Error('no such table')));
    await expect(failing.start()).rejects.toThrow('no such table');
  });

  it('reads whenever a change is told', async () => {
    const reads = new Reads();
    await following(reads);
    for (const count of [3, 4, 5]) {
      await tell('webhooks');
      await reads.expectEnded(count);
    }
  });

  it('reads now and then although nothing is told', async () => {
    const reads = new Reads();
    await followerOf(reads.read, { pollMs: 5 }).start();
    await eventually(() => expect(reads.ended).toBeGreaterThan(3));
  });

  it.each([
    ['that somebody waits for', (follower: TableCache) => void follower.refresh()],
    ['that a change has led to', () => tell('webhooks')],
  ])('reads exactly once more for all that is told during a read %s', async (_what, begin) => {
    const [reads, control] = [new Reads(), new Reads()];
    await followerOf(control.read, { channel: 'eventTypes' }).start();
    const follower = await following(reads);
    reads.hold();
    await begin(follower);
    await reads.expectBegun(3);
    for (let n = 0; n < 3; n++) await tell('webhooks');
    expect(reads).toMatchObject({ begun: 3, ended: 2 });
    reads.release();
    await reads.expectEnded(4);
    for (const count of [3, 4, 5]) {
      await tell('eventTypes');
      await control.expectEnded(count);
    }
    expect(reads.begun).toBe(4);
  });

  it('reads no more often than it may, unless somebody waits for it', async () => {
    const reads = new Reads();
    const follower = await following(reads, { minGapMs: NEVER_MS });
    await tell('webhooks', 3);
    expect(reads.begun).toBe(2);
    await follower.refresh();
    expect(reads.ended).toBe(3);
  });

  it('goes on after a read that failed', async () => {
    const reads = new Reads();
    const follower = await following(reads);
    reads.failure = new Error('the store is away');
    await tell('webhooks');
    await reads.expectEnded(3);
    await expect(follower.refresh()).rejects.toThrow('the store is away');
    reads.failure = undefined;
    await follower.refresh();
    await tell('webhooks');
    await reads.expectEnded(6);
  });

  it('stops when the read that is under way has ended, and begins none', async () => {
    const [reads, control] = [new Reads(), new Reads()];
    await followerOf(control.read).start();
    const follower = await following(reads, { pollMs: 5 });
    reads.hold();
    await tell('webhooks');
    await eventually(() => expect(reads.begun).toBe(reads.ended + 1));
    await tell('webhooks');
    let hasStopped = false;
    const stopped = follower.stop().then(() => (hasStopped = true));
    const { begun } = reads;
    const before = control.begun;
    await tell('webhooks');
    await eventually(() => expect(control.begun).toBeGreaterThan(before));
    expect(hasStopped).toBe(false);
    reads.release();
    await stopped;
    expect(reads.ended).toBe(begun);
    await tell('webhooks');
    await eventually(() => expect(control.begun).toBeGreaterThan(before + 1));
    expect(reads.begun).toBe(begun);
  });
});

describe('a refresh', () => {
  it('during a read leads to one more, which everybody shares who asked meanwhile', async () => {
    const reads = new Reads();
    const follower = followerOf(reads.read);
    reads.hold();
    const first = follower.refresh();
    await reads.expectBegun(1);
    const others = [1, 2, 3].map(() => follower.refresh());
    expect(reads.begun).toBe(1);
    reads.release();
    await Promise.all([first, ...others]);
    expect(reads).toMatchObject({ begun: 2, ended: 2 });
  });

  it('covers what was there before it, and never reads twice at once, whatever the order', async () => {
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
          if (isFailure) throw new Error('the store is away');
          copy = seen;
        };
        const follower = new TableCache(listener, { ...QUIET, read });
        const change = async () => {
          await scheduler.schedule(Promise.resolve());
          const committed = ++table;
          const outcome = await follower.refresh().catch(String);
          if (outcome === undefined) expect(copy).toBeGreaterThanOrEqual(committed);
          else expect(outcome).toBe('Error: the store is away');
        };
        await scheduler.waitFor(Promise.all(failures.map(change)));
      }),
    );
  });
});

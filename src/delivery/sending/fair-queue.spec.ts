import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FairQueue, type FairQueueLimits } from './fair-queue.js';

interface Item {
  webhookId: string;
  priority: number;
  n: number;
}

const item = (webhookId: string, n: number, priority = 1): Item => ({ webhookId, priority, n });

/** `acme-3` is a webhook of `acme`. */
const ownerOf = (webhookId: string): string => webhookId.slice(0, webhookId.indexOf('-'));

const push = (queue: FairQueue<Item>, one: Item) => queue.push(one, ownerOf(one.webhookId));

const fairQueue = (limits: Partial<FairQueueLimits> = {}) =>
  new FairQueue<Item>({ limitOf: () => 10, maxPerOwner: 1_000, ...limits });

function takeAll(queue: FairQueue<Item>): Item[] {
  const items: Item[] = [];
  for (let next = queue.take(); next; next = queue.take()) {
    items.push(next);
    queue.done(next.webhookId);
  }
  return items;
}

describe(FairQueue.name, () => {
  it('lets the webhooks of an owner take turns, however long one queue is', () => {
    const queue = fairQueue();
    for (let n = 0; n < 100; n++) push(queue, item('acme-flooded', n));
    push(queue, item('acme-quiet', 0));
    const order = takeAll(queue).map((i) => i.webhookId);
    expect(order.indexOf('acme-quiet')).toBeLessThan(3);
  });

  it('lets owners take turns, however many webhooks one has', () => {
    const queue = fairQueue();
    for (let n = 0; n < 1_000; n++) push(queue, item(`large-${n}`, n));
    for (let n = 0; n < 3; n++) push(queue, item('small-1', n));
    const order = takeAll(queue).map((i) => ownerOf(i.webhookId));
    expect(order.lastIndexOf('small')).toBeLessThan(7);
  });

  it('leaves slots to others, however many slow webhooks an owner has', () => {
    const queue = fairQueue({ maxPerOwner: 6 });
    for (let n = 0; n < 100; n++) push(queue, item(`slow-${n}`, n));
    for (let n = 0; n < 6; n++) queue.take();
    expect(queue.take()).toBeUndefined();
    push(queue, item('quick-1', 0));
    expect(queue.take()?.webhookId).toBe('quick-1');
    queue.done('slow-0');
    expect(queue.take()?.webhookId).toBe('slow-6');
  });

  it('prefers high over normal over low, and leaves turns to each', () => {
    const queue = fairQueue();
    for (let n = 0; n < 120; n++) for (const p of [0, 1, 2]) push(queue, item('acme-1', n, p));
    const first = takeAll(queue)
      .slice(0, 120)
      .map((i) => i.priority);
    const count = (priority: number) => first.filter((p) => p === priority).length;
    expect([count(0), count(1), count(2)]).toEqual([80, 30, 10]);
  });

  it('counts ahead of an item what is in flight and what is as urgent, or more', () => {
    const queue = fairQueue();
    push(queue, item('acme-1', 0));
    queue.take();
    const lengths = [3, 2, 4];
    for (const p of [0, 1, 2])
      for (let n = 0; n < lengths[p]!; n++) push(queue, item('acme-1', n, p));
    expect([0, 1, 2].map((p) => queue.lengthAhead('acme-1', p))).toEqual([4, 6, 10]);
    expect(queue.lengthAhead('acme-2', 2)).toBe(0);
  });

  it('gives the turn of an item that was not sent to the next of its priority', () => {
    const queue = fairQueue();
    for (let n = 0; n < 100; n++) for (const p of [0, 2]) push(queue, item('acme-1', n, p));
    const taken: Item[] = [];
    while (taken.filter(({ priority }) => priority === 2).length < 5) {
      const next = queue.take()!;
      queue.done('acme-1', next.priority !== 2);
      taken.push(next);
    }
    expect(taken.slice(-5).map(({ priority }) => priority)).toEqual([2, 2, 2, 2, 2]);
  });

  it('evicts the last of the lowest priority, and none that is as urgent', () => {
    const queue = fairQueue();
    for (const p of [2, 2, 1, 0]) push(queue, item('acme-1', queue.lengthOf('acme-1'), p));
    const evict = (above: number) => queue.evict('acme-1', above)?.n;
    expect([evict(0), evict(1), evict(1), evict(0), evict(0)]).toEqual([
      1,
      0,
      undefined,
      2,
      undefined,
    ]);
    expect(queue.evict('acme-2', 0)).toBeUndefined();
    expect(takeAll(queue).map(({ n }) => n)).toEqual([3]);
  });

  it('uses a limit that has risen as soon as the webhook changes', () => {
    let limit = 1;
    const queue = fairQueue({ limitOf: () => limit });
    push(queue, item('acme-1', 0));
    push(queue, item('acme-1', 1));
    expect(queue.take()?.n).toBe(0);
    expect(queue.take()).toBeUndefined();
    limit = 2;
    push(queue, item('acme-1', 2));
    expect([queue.take()?.n, queue.take()]).toEqual([1, undefined]);
    queue.done('acme-1');
    expect(queue.take()?.n).toBe(2);
  });

  it('keeps a limit that fell while the webhook waited for its turn', () => {
    let limit = 2;
    const queue = fairQueue({ limitOf: (id) => (id === 'acme-1' ? limit : 1) });
    for (const id of ['acme-1', 'acme-1', 'acme-2']) push(queue, item(id, 0));
    expect(queue.take()?.webhookId).toBe('acme-1');
    limit = 1;
    expect(queue.take()?.webhookId).toBe('acme-2');
    expect(queue.take()).toBeUndefined();
    queue.done('acme-1');
    expect(queue.take()?.webhookId).toBe('acme-1');
  });

  it('returns what waits when it is drained, and takes new items afterwards', () => {
    const queue = fairQueue({ limitOf: () => 1 });
    for (let n = 0; n < 3; n++) push(queue, item('acme-1', n));
    const taken = queue.take()!;
    expect(queue.drain().map((i) => i.n)).toEqual([1, 2]);
    expect(queue.lengthOf('acme-1')).toBe(1);
    push(queue, item('acme-1', 3));
    expect(queue.take()).toBeUndefined();
    queue.done(taken.webhookId);
    expect(queue.take()?.n).toBe(3);
  });

  it('forgets webhooks and owners that are empty', () => {
    const queue = fairQueue();
    for (let n = 0; n < 1_000; n++) push(queue, item(`o${n % 50}-${n}`, n));
    takeAll(queue);
    const { webhooks, owners } = queue as unknown as {
      webhooks: Map<string, unknown>;
      owners: Map<string, unknown>;
    };
    expect([webhooks.size, owners.size]).toEqual([0, 0]);
  });

  it('loses and repeats nothing, keeps each limit and order, and skips no owner and no webhook', () => {
    fc.assert(
      fc.property(
        fc.array(step, { minLength: 50, maxLength: 200 }),
        fc.integer({ min: 1, max: 6 }),
        (steps, maxPerOwner) => {
          const checked = new CheckedQueue(maxPerOwner);
          for (const one of steps) checked.perform(one);
          checked.finish();
        },
      ),
      { numRuns: 200 },
    );
  });
});

const WEBHOOKS = ['a-1', 'a-2', 'a-3', 'b-1', 'b-2', 'c-1'];
const OWNERS = ['a', 'b', 'c'];
const LONGEST_OWNER = 3;

const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ push: fc.constantFrom(...WEBHOOKS), priority: fc.nat(2) }) },
  { weight: 5, arbitrary: fc.constant('take' as const) },
  { weight: 3, arbitrary: fc.record({ done: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.record({ evict: fc.constantFrom(...WEBHOOKS), above: fc.nat(2) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      limit: fc.integer({ min: 1, max: 4 }),
      of: fc.constantFrom(...WEBHOOKS),
    }),
  },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** The queue beside a model that is too simple to be wrong: lists, and a search through all of them. */
class CheckedQueue {
  private readonly limits = new Map(WEBHOOKS.map((id) => [id, 2]));
  private readonly queue: FairQueue<Item>;
  private waiting: Item[] = [];
  private inFlight: Item[] = [];
  private pushed = 0;
  private returned = 0;
  /** Items that others got while this owner or webhook could have given one. */
  private readonly passedOver = new Map<string, number>();

  constructor(private readonly maxPerOwner: number) {
    this.queue = fairQueue({ limitOf: (id) => this.limits.get(id)!, maxPerOwner });
  }

  perform(one: Step): void {
    if (one === 'take') this.take();
    else if ('push' in one) this.push(one.push, one.priority);
    else if ('done' in one) this.done(one.done);
    else if ('evict' in one) this.evict(one.evict, one.above);
    else this.limit(one.of, one.limit);
    this.forgetIneligible();
    this.compareSizes();
  }

  /** Everything that was pushed is taken in the end. */
  finish(): void {
    while (this.inFlight.length > 0) this.done(0);
    while (this.waiting.length > 0) {
      this.take();
      this.done(0);
    }
    expect(this.returned).toBe(this.pushed);
  }

  private push(webhookId: string, priority: number): void {
    const one = item(webhookId, this.pushed++, priority);
    this.waiting.push(one);
    push(this.queue, one);
  }

  private take(): void {
    const eligible = WEBHOOKS.filter((id) => this.isEligible(id));
    const next = this.queue.take();
    if (!next) return expect(eligible).toEqual([]);
    expect(eligible).toContain(next.webhookId);
    expect(next).toBe(
      this.waiting.find((i) => i.webhookId === next.webhookId && i.priority === next.priority),
    );
    this.waiting = this.waiting.filter((i) => i !== next);
    this.inFlight.push(next);
    this.count(next.webhookId, eligible);
  }

  /** Between two turns of its own, one that waits is passed by each other owner, or webhook, once at most. */
  private count(taken: string, eligible: readonly string[]): void {
    const besides = eligible.filter((id) => ownerOf(id) === ownerOf(taken));
    for (const key of new Set([...eligible.map(ownerOf), ...besides])) {
      this.passedOver.set(key, this.passed(key) + 1);
    }
    this.passedOver.delete(taken);
    this.passedOver.delete(ownerOf(taken));
    for (const id of besides) expect(this.passed(id)).toBeLessThan(LONGEST_OWNER);
    for (const owner of OWNERS) expect(this.passed(owner)).toBeLessThan(OWNERS.length);
  }

  private passed(key: string): number {
    return this.passedOver.get(key) ?? 0;
  }

  private done(index: number): void {
    if (index < 0) return;
    const [finished] = this.inFlight.splice(index % Math.max(this.inFlight.length, 1), 1);
    if (!finished) return;
    this.returned++;
    this.queue.done(finished.webhookId);
  }

  private evict(webhookId: string, above: number): void {
    const lower = this.waiting.filter((i) => i.webhookId === webhookId && i.priority > above);
    const lowest = Math.max(...lower.map(({ priority }) => priority));
    const last = lower.findLast(({ priority }) => priority === lowest);
    expect(this.queue.evict(webhookId, above)).toBe(last);
    if (!last) return;
    this.waiting = this.waiting.filter((i) => i !== last);
    this.returned++;
  }

  private limit(webhookId: string, limit: number): void {
    this.limits.set(webhookId, limit);
    // The queue asks for the limit when the webhook changes next.
    this.done(this.inFlight.findIndex((i) => i.webhookId === webhookId));
  }

  private isEligible(webhookId: string): boolean {
    const isOf = (key: (i: Item) => string, value: string) => (i: Item) => key(i) === value;
    const ofWebhook = isOf((i) => i.webhookId, webhookId);
    const ofOwner = isOf((i) => ownerOf(i.webhookId), ownerOf(webhookId));
    return (
      this.waiting.some(ofWebhook) &&
      this.inFlight.filter(ofWebhook).length < this.limits.get(webhookId)! &&
      this.inFlight.filter(ofOwner).length < this.maxPerOwner
    );
  }

  private forgetIneligible(): void {
    for (const id of WEBHOOKS) if (!this.isEligible(id)) this.passedOver.delete(id);
    for (const owner of OWNERS) {
      const own = WEBHOOKS.filter((id) => ownerOf(id) === owner);
      if (!own.some((id) => this.isEligible(id))) this.passedOver.delete(owner);
    }
  }

  private compareSizes(): void {
    const all = [...this.waiting, ...this.inFlight];
    const lengths = WEBHOOKS.map((id) => all.filter((i) => i.webhookId === id).length);
    expect(WEBHOOKS.map((id) => this.queue.lengthOf(id))).toEqual(lengths);
  }
}

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LatestOnly } from './latest-only.js';

interface Value {
  key: string;
  number: number;
}

/** Offers values, and collects what leaves, with the time. */
class Outlet {
  nowMs = 0;
  readonly sent: (Value & { atMs: number })[] = [];
  private readonly coalescer: LatestOnly<Value>;
  private count = 0;

  constructor(readonly limits = { keys: 100, size: 1_000 }) {
    this.coalescer = new LatestOnly(limits);
  }

  offer(key: string, intervalMs = 100, size = 1): number {
    const value = { key, number: ++this.count };
    if (this.coalescer.offer({ key, value, size, intervalMs }, this.nowMs)) this.send([value]);
    return value.number;
  }

  /** Lets time pass; asks for what is due at each moment, or only when the next value comes. */
  wait(ms: number, isAsked = true): void {
    const until = this.nowMs + ms;
    for (let next = isAsked ? this.coalescer.nextDueMs : Infinity; next !== undefined;) {
      if (next > until) break;
      this.nowMs = Math.max(this.nowMs, next);
      this.send(this.coalescer.due(this.nowMs));
      next = this.coalescer.nextDueMs;
    }
    this.nowMs = until;
  }

  drain(): void {
    this.send(this.coalescer.drain());
  }

  get isIdle(): boolean {
    return this.coalescer.nextDueMs === undefined;
  }

  numbers(key: string): number[] {
    return this.sent.filter((value) => value.key === key).map(({ number }) => number);
  }

  private send(values: Value[]): void {
    this.sent.push(...values.map((value) => ({ ...value, atMs: this.nowMs })));
  }
}

const KEYS = ['a', 'b', 'c'];
const step = fc.oneof(
  fc.record({
    kind: fc.constant('offer' as const),
    key: fc.constantFrom(...KEYS),
    intervalMs: fc.constantFrom(0, 10, 50, 100),
    size: fc.integer({ min: 1, max: 5 }),
  }),
  fc.record({
    kind: fc.constant('wait' as const),
    ms: fc.integer({ min: 0, max: 120 }),
    isAsked: fc.boolean(),
  }),
  fc.record({ kind: fc.constant('drain' as const) }),
);
const limits = fc.record({
  keys: fc.integer({ min: 1, max: 4 }),
  size: fc.integer({ min: 1, max: 12 }),
});

function run(
  outlet: Outlet,
  steps: (typeof step extends fc.Arbitrary<infer S> ? S : never)[],
): Map<string, number> {
  const latest = new Map<string, number>();
  for (const each of steps) {
    if (each.kind === 'wait') outlet.wait(each.ms, each.isAsked);
    else if (each.kind === 'drain') outlet.drain();
    else latest.set(each.key, outlet.offer(each.key, each.intervalMs, each.size));
  }
  return latest;
}

describe(LatestOnly.name, () => {
  it('sends the first value at once, and the latest of those that follow', () => {
    const outlet = new Outlet();
    for (let n = 0; n < 5; n++) outlet.offer('a');
    expect(outlet.numbers('a')).toEqual([1]);
    outlet.wait(99);
    expect(outlet.numbers('a')).toEqual([1]);
    outlet.wait(1);
    expect(outlet.numbers('a')).toEqual([1, 5]);
    outlet.offer('a');
    outlet.wait(100);
    expect(outlet.numbers('a')).toEqual([1, 5, 6]);
    outlet.wait(100);
    expect(outlet.isIdle).toBe(true);
  });

  it('never sends an older value after a newer one, nor one twice', () => {
    fc.assert(
      fc.property(limits, fc.array(step, { maxLength: 60 }), (given, steps) => {
        const outlet = new Outlet(given);
        run(outlet, steps);
        outlet.wait(1_000);
        for (const key of KEYS) {
          const numbers = outlet.numbers(key);
          expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => a - b));
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it('sends the latest value of every key within an interval', () => {
    fc.assert(
      fc.property(limits, fc.array(step, { maxLength: 60 }), (given, steps) => {
        const outlet = new Outlet(given);
        const latest = run(outlet, steps);
        outlet.wait(100);
        for (const [key, number] of latest) expect(outlet.numbers(key).at(-1)).toBe(number);
        outlet.wait(100);
        expect(outlet.isIdle).toBe(true);
      }),
    );
  });

  it('sends at most one value of a key per interval, as long as there is capacity', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const outlet = new Outlet();
        run(
          outlet,
          steps
            .filter(({ kind }) => kind !== 'drain')
            .map((each) => (each.kind === 'offer' ? { ...each, intervalMs: 50 } : each)),
        );
        outlet.wait(1_000);
        for (const key of KEYS) {
          const times = outlet.sent.filter((value) => value.key === key).map(({ atMs }) => atMs);
          times
            .slice(1)
            .forEach((at, index) => expect(at - times[index]!).toBeGreaterThanOrEqual(50));
        }
      }),
    );
  });

  it('keeps no more than its limits', () => {
    const outlet = new Outlet({ keys: 2, size: 10 });
    for (let n = 0; n < 3; n++) for (const key of KEYS) outlet.offer(key, 100, 6);
    // The third key found no interval; and of the other two one value at a time can wait.
    expect(outlet.numbers('c')).toHaveLength(3);
    expect(outlet.numbers('a')).toEqual([1]);
    expect(outlet.numbers('b')).toEqual([2, 5, 8]);
  });
});

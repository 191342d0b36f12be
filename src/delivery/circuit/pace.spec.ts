import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Pace } from './pace.js';

interface Receiver {
  /** Milliseconds of a pause that it asks for; undefined: it accepts the request. */
  take(nowMs: number): number | undefined;
}

interface Quota {
  max: number;
  perMs: number;
}

/** So many in any window, wherever it begins. */
const sliding = ({ max, perMs }: Quota): Receiver => {
  let times: number[] = [];
  return {
    take(nowMs) {
      times = times.filter((time) => time > nowMs - perMs);
      if (times.length >= max) return perMs;
      times.push(nowMs);
      return undefined;
    },
  };
};

/** So many in each window of a clock; it says when the next one begins. */
const fixed = ({ max, perMs }: Quota): Receiver => {
  let [window, count] = [0, 0];
  return {
    take(nowMs) {
      const present = Math.floor(nowMs / perMs);
      if (present !== window) [window, count] = [present, 0];
      return ++count <= max ? undefined : (present + 1) * perMs - nowMs;
    },
  };
};

/** A bucket of tokens that fills evenly. */
const bucket = ({ max, perMs }: Quota): Receiver => {
  let [tokens, atMs] = [max, 0];
  return {
    take(nowMs) {
      tokens = Math.min(max, tokens + ((nowMs - atMs) * max) / perMs);
      atMs = nowMs;
      if (tokens < 1) return perMs;
      tokens--;
      return undefined;
    },
  };
};

const SLOTS = 10;
const TICK_MS = 5;

/** Sends so many to a receiver from several nodes, which share its pauses, with so many slots each. */
function send(receiver: Receiver, count: number, nodes = 1) {
  const paces = Array.from({ length: nodes }, () => new Pace());
  let [nowMs, pausedUntilMs, accepted, refused] = [0, 0, 0, 0];
  let lastMs = 0;
  for (; accepted < count; nowMs += TICK_MS) {
    for (const pace of paces) {
      if (nowMs < pausedUntilMs) break;
      const wanted = Math.min(SLOTS, count - accepted);
      const permitted = pace.take(wanted, nowMs);
      for (let n = 0; n < permitted; n++) {
        const pauseMs = receiver.take(nowMs);
        lastMs = nowMs;
        if (pauseMs === undefined) {
          accepted++;
          pace.accept();
          continue;
        }
        refused++;
        if (nowMs + pauseMs <= pausedUntilMs) continue;
        pausedUntilMs = nowMs + pauseMs;
        for (const one of paces) one.pause(nowMs, pausedUntilMs);
      }
    }
  }
  return { lastMs, refused };
}

const RECEIVERS: [string, (quota: Quota) => Receiver][] = [
  ['counts in sliding windows', sliding],
  ['counts in the windows of a clock', fixed],
  ['has a bucket of tokens', bucket],
];

describe(Pace.name, () => {
  it('has sent 20 after about 8 s to a receiver that takes 5 per 2 s', () => {
    const { lastMs, refused } = send(sliding({ max: 5, perMs: 2_000 }), 20);
    expect(lastMs).toBeLessThan(9_000);
    expect(refused).toBeLessThanOrEqual(2 * SLOTS);
  });

  describe.each(RECEIVERS)('to a receiver that %s', (_, receiverOf) => {
    it('sends at nearly its rate, and has little refused', () => {
      const max = fc.integer({ min: 2, max: 200 });
      const perMs = fc.integer({ min: 1_000, max: 60_000 });
      const windows = fc.integer({ min: 3, max: 60 });
      fc.assert(
        fc.property(max, perMs, windows, fc.integer({ min: 1, max: 3 }), (m, p, w, nodes) => {
          const count = m * w;
          const { lastMs, refused } = send(receiverOf({ max: m, perMs: p }), count, nodes);
          expect(lastMs).toBeLessThan(2 * (w + 3) * p);
          // In the first two windows all slots of all nodes; then one probe in ten windows, or so.
          expect(refused).toBeLessThanOrEqual(nodes * (3 * SLOTS + 2 * w));
        }),
        { numRuns: 40 },
      );
    });
  });

  it('does not limit before anything was refused, and no more when nothing was for long', () => {
    const pace = new Pace();
    expect(pace.take(1_000, 0)).toBe(1_000);
    expect(pace.isActive(0)).toBe(false);
    for (const [from, until] of [
      [0, 1_000],
      [1_010, 2_000],
    ] as const) {
      pace.accept();
      pace.pause(from, until);
    }
    expect(pace.take(1_000, 2_000)).toBe(1);
    expect(pace.isActive(3_000)).toBe(true);
    expect(pace.take(1_000, 1_000_000)).toBe(1_000);
    expect(pace.isActive(1_000_000)).toBe(false);
  });

  it('is not stopped by a clock that steps back', () => {
    const pace = new Pace();
    for (const at of [1e9, 1e9 + 2_010]) {
      for (let n = 0; n < 5; n++) pace.accept();
      pace.pause(at, at + 2_000);
    }
    expect(pace.take(10, 1_000)).toBe(1);
    let taken = 0;
    for (let nowMs = 1_000; nowMs < 21_000; nowMs += 100) taken += pace.take(10, nowMs);
    expect(taken).toBeGreaterThan(20);
  });
});

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

/** Refuses some at random, however slowly it is sent to: others use up what they share with us. */
const random = (share: number, pauseMs: number, seed: number): Receiver => {
  let state = seed;
  return {
    take() {
      // A linear congruential generator (Numerical Recipes).
      state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
      return state / 2 ** 32 < share ? pauseMs : undefined;
    },
  };
};

const SLOTS = 10;
const TICK_MS = 5;

/** How long a request takes; of a burst, refusals may come back first. */
const LATENCY_MS = 100;

/** Sends so many to a receiver from several nodes, which share its pauses, with so many slots each. */
function send(receiver: Receiver, count: number, nodes = 1) {
  const paces = Array.from({ length: nodes }, () => new Pace());
  let [nowMs, pausedUntilMs, accepted, refused] = [0, 0, 0, 0];
  let lastMs = 0;
  const answers: { atMs: number; pace: Pace }[] = [];
  for (; accepted < count; nowMs += TICK_MS) {
    while (answers[0] && answers[0].atMs <= nowMs) answers.shift()!.pace.accept();
    for (const pace of paces) {
      if (nowMs < pausedUntilMs) break;
      const wanted = Math.min(SLOTS, count - accepted);
      const permitted = pace.take(wanted, nowMs);
      for (let n = 0; n < permitted; n++) {
        const pauseMs = receiver.take(nowMs);
        lastMs = nowMs;
        if (pauseMs === undefined) {
          accepted++;
          answers.push({ atMs: nowMs + LATENCY_MS, pace });
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

  const seed = fc.integer({ min: 0, max: 2 ** 31 });
  const pauseMs = fc.integer({ min: 1_000, max: 30_000 });
  const share = fc.double({ min: 0.02, max: 0.2, noNaN: true });
  const refusing = fc.tuple(share, pauseMs, seed).map(([s, p, n]) => ({ share: s, p, seed: n }));

  it('sends nearly as much as its pauses allow to a receiver that refuses some at random', () => {
    fc.assert(
      fc.property(refusing, fc.constantFrom(1, 2), ({ share: s, p, seed: n }, nodes) => {
        const count = Math.ceil(200 / s);
        const { lastMs } = send(random(s, p, n), count, nodes);
        // One pause for each refusal, and what the slots allow in between.
        const idealMs = (s / (1 - s)) * count * p + (count / SLOTS) * LATENCY_MS;
        expect(lastMs).toBeLessThan(4 * idealMs);
      }),
      { numRuns: 40 },
    );
  });

  it('stays just below the rate of a receiver that takes so many per second', () => {
    const SECONDS = 120;
    const max = fc.integer({ min: 3, max: 100 });
    fc.assert(
      fc.property(max, fc.constantFrom(...RECEIVERS), (m, [, receiverOf]) => {
        const { lastMs, refused } = send(receiverOf({ max: m, perMs: 1_000 }), m * SECONDS);
        expect(lastMs).toBeGreaterThan(0.95 * SECONDS * 1_000);
        expect(lastMs).toBeLessThan(1.4 * SECONDS * 1_000);
        expect(refused).toBeLessThan(SECONDS);
      }),
      { numRuns: 40 },
    );
  });

  /** A pace that has measured five requests per two seconds; the last pause ends at `endMs`. */
  function measuredPace(startMs: number) {
    const pace = new Pace();
    pace.pause(startMs, startMs + 2_000);
    for (let n = 0; n < 5; n++) {
      expect(pace.take(1, startMs + 2_000 + n)).toBe(1);
      pace.accept();
    }
    pace.pause(startMs + 2_010, startMs + 4_010);
    return { pace, endMs: startMs + 4_010 };
  }

  /** How many it permits in so many seconds, asked again and again. */
  const taken = (pace: Pace, fromMs: number, seconds: number): number => {
    let sum = 0;
    for (let nowMs = fromMs; nowMs < fromMs + seconds * 1_000; nowMs += 50) {
      sum += pace.take(10, nowMs);
    }
    return sum;
  };

  it('does not limit before anything was refused, and no more when nothing was for long', () => {
    expect(new Pace().take(1_000, 0)).toBe(1_000);
    expect(new Pace().isActive(0)).toBe(false);
    const { pace, endMs } = measuredPace(0);
    expect(taken(pace, endMs, 10)).toBeLessThanOrEqual(25);
    expect(pace.isActive(endMs + 10_000)).toBe(true);
    expect(pace.take(1_000, endMs + 1_000_000)).toBe(1_000);
    expect(pace.isActive(endMs + 1_000_000)).toBe(false);
  });

  it('counts what is accepted during the pause that follows', () => {
    const pace = new Pace();
    pace.pause(0, 2_000);
    pace.take(1, 2_000);
    pace.accept();
    pace.pause(2_010, 4_000);
    for (let n = 0; n < 4; n++) pace.accept();
    expect(taken(pace, 4_000, 10)).toBeGreaterThan(20);
  });

  it('begins with one request when nothing was accepted, and permits two for each that is', () => {
    const pace = new Pace();
    pace.pause(0, 2_000);
    pace.pause(2_010, 6_010);
    expect(pace.take(10, 6_010)).toBe(1);
    expect(pace.take(10, 6_020)).toBe(0);
    pace.accept();
    expect(pace.take(10, 6_030)).toBe(2);
    pace.accept();
    pace.accept();
    expect(pace.take(10, 6_040)).toBe(4);
    // Also when no request was answered with 2xx or 429.
    expect(pace.nextMs(6_050)).toBeLessThanOrEqual(10_000);
    expect(pace.take(10, 16_100)).toBe(1);
  });

  it('permits again what was not used, and something within a minute after any pause', () => {
    const hour = 3_600_000;
    const pace = new Pace();
    pace.pause(0, hour);
    expect(pace.take(10, hour)).toBe(1);
    pace.returnUnused(1);
    expect(pace.take(10, hour)).toBe(1);
    pace.accept();
    pace.pause(hour + 10, 2 * hour);
    expect(pace.take(10, 2 * hour)).toBe(1);
    expect(pace.nextMs(2 * hour)).toBeLessThanOrEqual(60_000);
  });

  it('is not stopped by a clock that steps back', () => {
    const { pace } = measuredPace(1e9);
    expect(pace.take(1, 1e9 + 4_010)).toBe(1);
    expect(taken(pace, 1_000, 20)).toBeGreaterThan(20);
  });
});

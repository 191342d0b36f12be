import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { PollLoop } from './poll-loop.timer.js';

const EVERY_MS = 1_000;

let rounds: number[];
let errors: unknown[];
let loop: PollLoop;

beforeEach(() => {
  vi.useFakeTimers();
  rounds = [];
  errors = [];
});

afterEach(async () => {
  await loop.stop();
  vi.useRealTimers();
});

function start(result: () => Promise<number | undefined>, minGapMs = 0): void {
  const startMs = performance.now();
  loop = new PollLoop({
    run: () => {
      rounds.push(performance.now() - startMs);
      return result();
    },
    onError: (error) => errors.push(error),
    everyMs: EVERY_MS,
    maxErrorWaitMs: 2_500,
    minGapMs,
  });
  loop.start();
}

const nothing = () => Promise.resolve(undefined);

describe(PollLoop.name, () => {
  it('runs a round at once, and then every so often', async () => {
    start(nothing);
    await vi.advanceTimersByTimeAsync(2_500);
    expect(rounds).toEqual([0, 1_000, 2_000]);
  });

  it('goes on at once while a round says that there is more', async () => {
    let left = 3;
    start(() => Promise.resolve(left-- > 0 ? 0 : undefined));
    await vi.advanceTimersByTimeAsync(0);
    expect(rounds).toEqual([0, 0, 0, 0]);
  });

  it('waits as long as the round says', async () => {
    start(() => Promise.resolve(400));
    await vi.advanceTimersByTimeAsync(900);
    expect(rounds).toEqual([0, 400, 800]);
  });

  it('comes earlier when it is woken, and keeps the gap', async () => {
    start(nothing, 100);
    await vi.advanceTimersByTimeAsync(10);
    loop.wakeIn(0);
    await vi.advanceTimersByTimeAsync(200);
    expect(rounds).toEqual([0, 100]);
  });

  it('does not lose a wake-up that comes during a round', async () => {
    let isFirst = true;
    start(async () => {
      if (isFirst) loop.wakeIn(5);
      isFirst = false;
      await Promise.resolve();
      return undefined;
    });
    await vi.advanceTimersByTimeAsync(20);
    expect(rounds).toEqual([0, 5]);
  });

  it('waits longer after each error in a row, and not for ever', async () => {
    start(() => Promise.reject(new Error('away')));
    await vi.advanceTimersByTimeAsync(8_100);
    expect(rounds).toEqual([0, 1_000, 3_000, 5_500, 8_000]);
    expect(errors).toHaveLength(5);
  });

  it('ends its pause when it is stopped', async () => {
    start(nothing);
    await vi.advanceTimersByTimeAsync(10);
    await loop.stop();
    await vi.advanceTimersByTimeAsync(5_000);
    expect(rounds).toEqual([0]);
  });
});

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { retryUntilDone } from './retry.timer.js';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const refused = new Error('refused');
const away = new Error('away');
const options = {
  isFinal: (error: unknown) => error === refused,
  onError: () => undefined,
  minWaitMs: 100,
  maxWaitMs: 300,
};

describe(retryUntilDone.name, () => {
  it('waits twice as long after each failure, up to the longest wait', async () => {
    const times: number[] = [];
    const startMs = performance.now();
    const result = retryUntilDone(() => {
      times.push(performance.now() - startMs);
      return times.length < 5 ? Promise.reject(away) : Promise.resolve('done');
    }, options);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await result).toBe('done');
    expect(times).toEqual([0, 100, 300, 600, 900]);
  });

  it('throws at once what is final', async () => {
    const onError = vi.fn<(error: unknown) => void>();
    const attempt = retryUntilDone(() => Promise.reject(refused), { ...options, onError });
    await expect(attempt).rejects.toBe(refused);
    expect(onError).not.toHaveBeenCalled();
  });
});

import { describe, expect, it } from 'vitest';
import { type Attempts, type Ending, NO_ATTEMPTS, nextStep } from './reconnection.js';

const ending = (more: Partial<Ending> = {}): Ending => ({ reason: 'cut', connectedMs: 0, ...more });
const lastError = (reconnect: boolean) => ({ code: 'x', message: 'x', reconnect });
const refusal = (code: string) => ({ code, message: code });

const step = (end: Ending, { before = NO_ATTEMPTS, canRenew = false, random = 0 } = {}) =>
  nextStep(end, before, { backoff: { baseMs: 500, maxMs: 30_000 }, canRenew, random });

describe(nextStep, () => {
  it.each<[what: string, end: Partial<Ending>, kind: 'stop' | 'wait']>([
    ['a broken connection', {}, 'wait'],
    ['a close code that allows reconnecting', { code: 3499 }, 'wait'],
    ['the first close code that forbids reconnecting', { code: 3500 }, 'stop'],
    ['the last close code that forbids reconnecting', { code: 3999 }, 'stop'],
    ['a close code of an application', { code: 4000 }, 'wait'],
    ['a close code of the protocol', { code: 1006 }, 'wait'],
    ['an error that allows reconnecting', { lastError: lastError(true) }, 'wait'],
    ['an error that forbids reconnecting', { lastError: lastError(false) }, 'stop'],
    ['a refused token', { refusal: refusal('invalid_token') }, 'stop'],
    ['a full server', { refusal: refusal('too_many_connections') }, 'wait'],
    ['a server that cannot check the token', { refusal: refusal('unavailable') }, 'wait'],
  ])('after %s', (_what, end, kind) => {
    expect(step(ending(end)).kind).toBe(kind);
  });

  it.each([
    [1, 0, 250],
    [1, 0.999_999, 500],
    [2, 0, 500],
    [7, 0, 15_000],
    [50, 0, 15_000],
    [2_000, 0.999_999, 30_000],
  ])('waits before attempt %i, with random value %d, for %i ms', (attempt, random, delayMs) => {
    const before: Attempts = { failed: attempt - 1, tokensRefused: 0 };
    expect(step(ending(), { before, random })).toMatchObject({ kind: 'wait', delayMs });
  });

  it('restarts its count after a stable connection', () => {
    const before: Attempts = { failed: 9, tokensRefused: 0 };
    expect(step(ending({ connectedMs: 10_000 }), { before })).toMatchObject({ delayMs: 250 });
    expect(step(ending({ connectedMs: 9_999 }), { before })).toMatchObject({ delayMs: 15_000 });
  });

  it.each([
    [1_234, 1_234],
    [-5, 0],
    [1e12, 300_000],
  ])('reconnects when a draining server says so: %d ms becomes %d ms', (drainMs, delayMs) => {
    const before: Attempts = { failed: 9, tokensRefused: 0 };
    expect(step(ending({ drainMs }), { before })).toMatchObject({
      delayMs,
      attempts: NO_ATTEMPTS,
    });
  });
});

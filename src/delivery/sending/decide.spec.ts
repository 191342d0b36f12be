import { describe, expect, it } from 'vitest';
import { decide, type DecisionInput } from './outcome.js';

const responded = (statusCode: number, retryAfter: string | null = null) =>
  ({ kind: 'responded', statusCode, durationMs: 5, body: null, retryAfter }) as const;
const failed = (error: 'timeout' | 'connect') =>
  ({ kind: 'failed', error, message: 'It failed.', durationMs: 5 }) as const;

const decideOn = (input: Partial<DecisionInput>) =>
  decide({
    result: responded(500),
    attempt: 1,
    budgetStart: 0,
    policy: { schedule: [1_000, 5_000] },
    expiresAtMs: undefined,
    nowMs: 0,
    random: 0.5,
    ...input,
  });

describe(decide.name, () => {
  it.each([200, 201, 204, 299])('counts %i as success', (status) => {
    expect(decideOn({ result: responded(status) })).toEqual({ kind: 'success' });
  });

  it.each([301, 307, 400, 404, 500, 503])('retries after %i', (status) => {
    const decision = decideOn({ result: responded(status) });
    expect(decision).toEqual({ kind: 'retry', delayMs: 1_000, error: 'http' });
  });

  it('retries after a failure below HTTP', () => {
    const decision = decideOn({ result: failed('timeout'), attempt: 2 });
    expect(decision).toEqual({ kind: 'retry', delayMs: 5_000, error: 'timeout' });
  });

  it('ends after the last attempt of the schedule', () => {
    expect(decideOn({ result: failed('connect'), attempt: 3 })).toEqual({
      kind: 'dead',
      error: 'connect',
    });
  });

  it('never retries after 410', () => {
    expect(decideOn({ result: responded(410) })).toEqual({ kind: 'gone' });
  });

  it.each([429, 503])('waits as long as %i asks for', (status) => {
    expect(decideOn({ result: responded(status, '7') })).toMatchObject({ delayMs: 7_000 });
  });

  const throttle = { pauseMs: 3_000, isAccepting: true };

  it('lets a delivery wait that is refused for its rate, without using up an attempt', () => {
    const result = responded(429, '2');
    const decision = decideOn({ result, throttle, attempt: 3 });
    expect(decision).toEqual({ kind: 'throttled', delayMs: 3_000 });
    expect(decideOn({ result, throttle, expiresAtMs: 3_000 })).toMatchObject({ error: 'expired' });
  });

  it('uses up an attempt when the receiver accepts nothing', () => {
    const [result, refusing] = [responded(429), { ...throttle, isAccepting: false }];
    expect(decideOn({ result, throttle: refusing })).toMatchObject({
      kind: 'retry',
      delayMs: 3_000,
    });
    expect(decideOn({ result, throttle: refusing, attempt: 3 })).toMatchObject({ kind: 'dead' });
  });

  it('ends a delivery that is refused for ever by a receiver that accepts others', () => {
    let budgetStart = 0;
    let attempts = 1;
    for (; attempts < 1_000; attempts++) {
      const attempt = attempts - budgetStart;
      const { kind } = decideOn({ result: responded(429), throttle, attempt, budgetStart });
      if (kind === 'dead') break;
      if (kind === 'throttled') budgetStart++;
    }
    expect(attempts).toBe(53);
  });

  it('does not let any other status ask for a wait', () => {
    expect(decideOn({ result: responded(500, '7') })).toMatchObject({ delayMs: 1_000 });
  });

  it('ends a delivery whose event would have expired before the next attempt', () => {
    expect(decideOn({ expiresAtMs: 1_000 })).toEqual({ kind: 'dead', error: 'expired' });
    expect(decideOn({ expiresAtMs: 1_001 })).toMatchObject({ kind: 'retry' });
  });
});

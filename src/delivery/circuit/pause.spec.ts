import { describe, expect, it } from 'vitest';
import type { AttemptResult } from '../../outbound/attempt-result.js';
import { MAX_RETRY_AFTER_MS } from '../../shared/retry-policy.js';
import { type CircuitStep, CLOSED, reduce } from './circuit.js';
import { askedPauseMs, isPaused, throttleOf, withPause } from './pause.js';

const NOW = 1_000_000;
const answer = (statusCode: number, retryAfter: string | null): AttemptResult => ({
  kind: 'responded',
  statusCode,
  durationMs: 1,
  body: null,
  retryAfter,
});

describe(askedPauseMs.name, () => {
  it.each<[number, string | null, number | undefined]>([
    [429, '2', 2_000],
    [503, '2', 2_000],
    [500, '2', undefined],
    [429, null, undefined],
    [429, 'soon', undefined],
    [429, '-1', undefined],
    [429, '3153600000', MAX_RETRY_AFTER_MS],
    [429, '9'.repeat(60), MAX_RETRY_AFTER_MS],
    [429, new Date(NOW + 5_000).toUTCString(), 5_000],
    [503, new Date(NOW + 1e12).toUTCString(), MAX_RETRY_AFTER_MS],
    [429, new Date(NOW - 5_000).toUTCString(), undefined],
  ])('of %i with Retry-After %s', (status, retryAfter, expected) => {
    expect(askedPauseMs(answer(status, retryAfter), NOW)).toBe(expected);
  });
});

describe(withPause.name, () => {
  const none = { pausedUntilMs: null, pauses: 0 };

  it('lasts as long as the receiver asks for, at least a second', () => {
    expect(withPause(none, 2_000, NOW)).toEqual({ pausedUntilMs: NOW + 2_000, pauses: 1 });
    expect(withPause(none, 0, NOW)).toEqual({ pausedUntilMs: NOW + 1_000, pauses: 1 });
    expect(withPause(none, null, NOW)).toEqual({ pausedUntilMs: NOW + 1_000, pauses: 1 });
  });

  it('is one pause for all answers of a burst, and the longest that one asks for', () => {
    const first = withPause(none, 2_000, NOW);
    expect(withPause(first, 2_000, NOW + 50)).toBe(first);
    expect(withPause(first, null, NOW + 500)).toBe(first);
    const longer = withPause(first, 9_000, NOW + 50);
    expect(longer).toEqual({ pausedUntilMs: NOW + 9_050, pauses: 1 });
  });

  it('doubles while nothing is accepted in between, up to a minute', () => {
    let pause = none as ReturnType<typeof withPause>;
    const lengths: number[] = [];
    for (let n = 0, nowMs = NOW; n < 9; n++, nowMs = pause.pausedUntilMs!) {
      pause = withPause(pause, 1_000, nowMs);
      lengths.push((pause.pausedUntilMs! - nowMs) / 1_000);
    }
    expect(lengths).toEqual([1, 2, 4, 8, 16, 32, 60, 60, 60]);
    expect(throttleOf(pause, NOW).isAccepting).toBe(false);
  });
});

describe('a circuit whose receiver asks for pauses', () => {
  const POLICY = { failureThreshold: 3, openMs: 1_000, disableAfterMs: 1e9 };
  const result = (more: object): CircuitStep => ({
    kind: 'result',
    result: 'throttled',
    error: 'http',
    pauseMs: 2_000,
    epoch: null,
    probe: null,
    isSystemEvent: false,
    ...more,
  });
  const THROTTLED = result({});
  const BUSY = result({ result: 'failure' });
  const run = (...steps: [atMs: number, step: CircuitStep][]) =>
    steps.reduce((circuit, [atMs, step]) => reduce(circuit, step, atMs, POLICY).circuit, CLOSED);

  it('is never opened by 429', () => {
    const steps = Array.from({ length: 50 }, (_, n): [number, CircuitStep] => [
      NOW + n * 1_500,
      THROTTLED,
    ]);
    expect(run(...steps)).toMatchObject({ phase: { kind: 'closed' }, failures: 0 });
  });

  it('counts the answers of one pause with 503 as one failure', () => {
    const burst = (atMs: number): [number, CircuitStep][] =>
      Array.from({ length: 10 }, (_, n) => [atMs + n, BUSY]);
    expect(run(...burst(NOW))).toMatchObject({ phase: { kind: 'closed' }, failures: 1 });
    const three = run(...burst(NOW), ...burst(NOW + 5_000), ...burst(NOW + 15_000));
    expect(three).toMatchObject({ phase: { kind: 'open' }, failures: 3 });
  });

  it('is closed by a probe that is answered with 429: the receiver works', () => {
    const failure = result({ result: 'failure', pauseMs: null });
    const closed = run(
      [NOW, failure],
      [NOW, failure],
      [NOW, failure],
      [NOW + 1_000, { kind: 'claim', token: 'p', leaseMs: 500 }],
      [NOW + 1_010, result({ probe: 'p' })],
    );
    expect(closed.phase.kind).toBe('closed');
    expect(isPaused(closed, NOW + 1_020)).toBe(true);
  });

  it('sends no probe during a pause', () => {
    const failure = result({ result: 'failure', pauseMs: 60_000 });
    const plain = result({ result: 'failure', pauseMs: null });
    const open = run([NOW, failure], [NOW, plain], [NOW, plain]);
    expect(open.phase.kind).toBe('open');
    const claim = { kind: 'claim', token: 'p', leaseMs: 500 } as const;
    expect(reduce(open, claim, NOW + 59_000, POLICY).circuit.phase.kind).toBe('open');
    expect(reduce(open, claim, NOW + 60_000, POLICY).circuit.phase.kind).toBe('half_open');
  });

  it('resumes at once when a user asks for it, or repairs the webhook', () => {
    const paused = run([NOW, THROTTLED]);
    for (const step of [
      { kind: 'requestProbe', deliveryId: 'dlv_1' },
      { kind: 'close' },
    ] as const) {
      expect(isPaused(reduce(paused, step, NOW + 1, POLICY).circuit, NOW + 1)).toBe(false);
    }
  });

  it('is not paused for longer than allowed after the clock has stepped back', () => {
    const paused = run([NOW + 1e10, THROTTLED]);
    const after = reduce(paused, BUSY, NOW, POLICY).circuit;
    expect(after.pausedUntilMs).toBeLessThanOrEqual(NOW + MAX_RETRY_AFTER_MS);
  });
});

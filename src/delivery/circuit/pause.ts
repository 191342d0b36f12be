import type { AttemptResult } from '../../outbound/attempt-result.js';
import { MAX_RETRY_AFTER_MS, parseRetryAfter } from '../../shared/retry-policy.js';

/** A pause that a receiver asked for, as a part of its circuit: no node sends anything until it is over. */
export interface Pause {
  /** Until when the receiver wants no requests; null: it has not asked for a pause. */
  pausedUntilMs: number | null;
  /** Such pauses since its last success. */
  pauses: number;
}

/** What a receiver that answers with 429 means for the delivery that it has refused. */
export interface Throttle {
  /** Until the next request. */
  pauseMs: number;
  /** Whether it accepts others: then this one only has to wait, and has used up no attempt. */
  isAccepting: boolean;
}

/** A receiver that has refused everything between so many pauses accepts nothing. */
const MAX_PAUSES = 3;
/** The first pause of a receiver that does not say how long; the next ones double, up to the maximum. */
const MIN_PAUSE_MS = 1_000;
const MAX_OWN_PAUSE_MS = 60_000;
const MAX_DOUBLINGS = 16;
/** Each answer of a burst asks for the same pause, a moment later than the one before. */
const SAME_PAUSE_MS = 100;

/** Statuses whose `Retry-After` is honoured (contract, section 5). */
const MAY_ASK_FOR_PAUSE = new Set([429, 503]);

/** The pause that an answer asks for with `Retry-After`, within limits; undefined: none. */
export function askedPauseMs(result: AttemptResult, nowMs: number): number | undefined {
  if (result.kind === 'failed' || !MAY_ASK_FOR_PAUSE.has(result.statusCode)) return undefined;
  const ms = parseRetryAfter(result.retryAfter, nowMs);
  return ms === undefined ? undefined : Math.min(ms, MAX_RETRY_AFTER_MS);
}

/** Whether the receiver wants no requests now. */
export const isPaused = ({ pausedUntilMs }: Pause, nowMs: number): boolean =>
  pausedUntilMs !== null && pausedUntilMs > nowMs;

/**
 * It lasts as long as the receiver asks for, and not less than ours: the pauses of a receiver that takes
 * nothing in between get longer.
 * @param askedMs null: the receiver does not say how long
 * @returns the same object if nothing changes
 */
export function withPause<P extends Pause>(before: P, askedMs: number | null, nowMs: number): P {
  if (isPaused(before, nowMs)) {
    const untilMs = nowMs + (askedMs ?? 0);
    const isLonger = untilMs > before.pausedUntilMs! + SAME_PAUSE_MS;
    return isLonger ? { ...before, pausedUntilMs: untilMs } : before;
  }
  const ownMs = MIN_PAUSE_MS * 2 ** Math.min(before.pauses, MAX_DOUBLINGS);
  const pauseMs = Math.max(askedMs ?? 0, Math.min(ownMs, MAX_OWN_PAUSE_MS));
  return { ...before, pauses: before.pauses + 1, pausedUntilMs: nowMs + pauseMs };
}

export const throttleOf = ({ pausedUntilMs, pauses }: Pause, nowMs: number): Throttle => ({
  pauseMs: Math.max((pausedUntilMs ?? -Infinity) - nowMs, 0),
  isAccepting: pauses < MAX_PAUSES,
});

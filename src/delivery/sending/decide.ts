import {
  delayBeforeAttemptMs,
  parseRetryAfter,
  type RetryPolicy,
} from '../../shared/retry-policy.js';
import { type AttemptResult, errorOf } from '../../outbound/attempt-result.js';

/**
 * What the result of an attempt means for its delivery: the whole policy of retries and dead letters
 * in one total function.
 */
export type Decision =
  | { kind: 'success' }
  | { kind: 'retry'; delayMs: number; error: string }
  | { kind: 'dead'; error: string }
  /** 410: the receiver is gone for good, so its webhook is disabled too. */
  | { kind: 'gone' };

export interface DecisionInput {
  result: AttemptResult;
  /** Counted from 1 in the present budget; a redrive begins a new one. */
  attempt: number;
  policy: RetryPolicy;
  /** When the event's time to live ends; undefined: never. */
  expiresAtMs: number | undefined;
  nowMs: number;
  /** Uniform in [0, 1). */
  random: number;
}

/** Statuses whose `Retry-After` is honoured (contract, section 5). */
const THROTTLES = new Set([429, 503]);

export function decide(input: DecisionInput): Decision {
  const { result, attempt, policy, expiresAtMs, nowMs, random } = input;
  if (result.kind === 'responded') {
    if (result.statusCode >= 200 && result.statusCode < 300) return { kind: 'success' };
    if (result.statusCode === 410) return { kind: 'gone' };
  }
  const error = errorOf(result) ?? 'http';
  const delayMs = delayBeforeAttemptMs(policy, attempt + 1, random, retryAfterMs(result, nowMs));
  if (delayMs === undefined) return { kind: 'dead', error };
  if (expiresAtMs !== undefined && nowMs + delayMs >= expiresAtMs) {
    return { kind: 'dead', error: 'expired' };
  }
  return { kind: 'retry', delayMs, error };
}

const retryAfterMs = (result: AttemptResult, nowMs: number): number | undefined =>
  result.kind === 'responded' && THROTTLES.has(result.statusCode)
    ? parseRetryAfter(result.retryAfter, nowMs)
    : undefined;

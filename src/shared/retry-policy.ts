/**
 * When a failed delivery is tried again. Attempts are counted from 1; attempt 1 is made at once, so
 * a schedule of five waits allows six attempts.
 */

/** Explicit waits before attempts 2, 3, … in milliseconds. */
export interface RetrySchedule {
  schedule: number[];
}

/** Waits of `baseMs`, `baseMs * factor`, … up to `maxMs`, for `maxAttempts` attempts in all. */
export interface ExponentialRetry {
  baseMs: number;
  factor: number;
  maxMs: number;
  maxAttempts: number;
}

export type RetryPolicy = RetrySchedule | ExponentialRetry;

/** A wait is spread over this share around its nominal length, so that failures do not align. */
const JITTER = 0.2;

/** The longest wait that a receiver may ask for with `Retry-After`. */
export const MAX_RETRY_AFTER_MS = 60 * 60_000;

/** The nominal wait before attempt `number` (2 or more); undefined: there is no such attempt. */
export function nominalDelayMs(policy: RetryPolicy, number: number): number | undefined {
  if ('schedule' in policy) return policy.schedule[number - 2];
  if (number > policy.maxAttempts) return undefined;
  // The exponent is capped before it can overflow: factor 10 passes any maxMs long before 400.
  return Math.min(policy.baseMs * policy.factor ** Math.min(number - 2, 400), policy.maxMs);
}

/**
 * The wait before attempt `number`, or undefined when the policy allows no further attempt.
 * @param random       uniform in [0, 1)
 * @param retryAfterMs what the receiver asked for; it can only lengthen the wait, within limits
 */
export function delayBeforeAttemptMs(
  policy: RetryPolicy,
  number: number,
  random: number,
  retryAfterMs?: number,
): number | undefined {
  const nominal = nominalDelayMs(policy, number);
  if (nominal === undefined) return undefined;
  const jittered = nominal * (1 - JITTER + 2 * JITTER * random);
  return Math.round(Math.max(jittered, Math.min(retryAfterMs ?? 0, MAX_RETRY_AFTER_MS)));
}

/** More seconds than these mean as many (as for `delta-seconds` in RFC 9111, 1.2.2). */
const MAX_SECONDS = 2 ** 31;

/**
 * `Retry-After` (RFC 9110, 10.2.3) in milliseconds from now: seconds or an HTTP date.
 * Undefined for anything else, and for a moment that is past.
 */
export function parseRetryAfter(value: string | null, nowMs: number): number | undefined {
  const text = value?.trim() ?? '';
  if (/^\d+$/.test(text)) return Math.min(Number(text), MAX_SECONDS) * 1000;
  // Date.parse accepts far more than RFC 9110 does; a date header always starts with a weekday.
  const date = /^[A-Z][a-z]{2}[a-z]*,? /.test(text) ? Date.parse(text) : Number.NaN;
  return date > nowMs ? date - nowMs : undefined;
}

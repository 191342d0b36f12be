/** How long to wait before the next connection attempt. */
export interface Backoff {
  /** The longest wait before the first attempt, in milliseconds. Default 500. */
  baseMs: number;
  /** The longest wait before any attempt, in milliseconds. Default 30,000. */
  maxMs: number;
}

export const DEFAULT_BACKOFF: Backoff = { baseMs: 500, maxMs: 30_000 };

/**
 * Doubles with every attempt, up to the maximum. Half of the wait is random, so that clients that lost
 * the same server do not reconnect at the same time, and none of them at once.
 *
 * @param attempt 1 for the first
 * @param random from 0 to 1, exclusive
 */
export function backoffMs(attempt: number, { baseMs, maxMs }: Backoff, random: number): number {
  const longest = Math.min(maxMs, baseMs * 2 ** (attempt - 1));
  return Math.round(longest * (0.5 + random / 2));
}

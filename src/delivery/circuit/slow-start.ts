/**
 * How a circuit that has closed is filled again: what waited comes in a growing stream and not as a
 * herd, which would knock over a receiver that has just got up.
 */

/** The number of requests at once doubles after each of these. */
const STEP_MS = 1_000;
/** 1,024 at once is above any limit that a webhook can have: the ramp is over. */
const STEPS = 10;

/** How long the ramp takes. */
export const SLOW_START_MS = STEP_MS * STEPS;

/**
 * Requests that a process may have out at once: 1, 2, 4, … and in the end no limit.
 * @param msSinceClosed negative if the clock stepped back: it begins again
 */
export function slowStartLimit(msSinceClosed: number): number {
  if (msSinceClosed >= SLOW_START_MS) return Number.POSITIVE_INFINITY;
  return 2 ** Math.floor(Math.max(msSinceClosed, 0) / STEP_MS);
}

/**
 * A claim leases its rows: long enough that no attempt that is made under it can outlast it, short
 * enough that what a crash leaves behind is found soon.
 */
export interface Lease {
  /** Fencing token. */
  token: string;
  /** For the database's clock. */
  ms: number;
  /** The end on the monotonic clock of this process. */
  endsMs: number;
}

/** So many interrupted attempts in a row, and a delivery is not sent together with others. */
export const QUARANTINE_AFTER = 2;

/** From so many interrupted attempts in a row on, the next one is made after a pause. */
const PAUSE_AFTER = 3;
const PAUSE_FACTOR = 5;
const MAX_PAUSE_MS = 60 * 60_000;

/**
 * So many interrupted attempts in a row, and a delivery is not sent again. With the pauses between
 * them they take hours: restarts for other reasons do not meet each of its attempts.
 */
export const POISON_AFTER = 10;

/**
 * The pause before the next attempt of a delivery whose worker was lost during an attempt: none at
 * first, since most workers are lost for other reasons.
 * @param lostLeases interrupted attempts in a row
 * @param firstMs    the first pause
 */
export const pauseAfterMs = (lostLeases: number, firstMs: number): number =>
  lostLeases < PAUSE_AFTER
    ? 0
    : Math.min(firstMs * PAUSE_FACTOR ** (lostLeases - PAUSE_AFTER), MAX_PAUSE_MS);

/**
 * Whether an attempt that starts now ends, and is written, within its lease.
 * @param marginMs to write the outcome
 */
export const fitsLease = (
  leaseEndsMs: number,
  timeoutMs: number,
  marginMs: number,
  nowMs: number,
): boolean => nowMs + timeoutMs + marginMs <= leaseEndsMs;

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

/** So many lost leases put a delivery under quarantine: it is claimed alone. */
export const QUARANTINE_AFTER = 2;

/** Four leases were lost with it, two of them under quarantine: it is not sent again. */
export const POISON_AFTER = 4;

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

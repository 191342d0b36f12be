/**
 * How long a claim holds its rows: long enough that no attempt made under it can outlast it, short
 * enough that what a crash leaves behind is found soon. Lease = timeout + wait + margin.
 */

/** How long a task may wait in memory before its attempt. */
export const MAX_WAIT_MS = 5_000;

/** Beyond the deadline of the attempt: to get the outcome written. */
export const LEASE_MARGIN_MS = 10_000;

/** So many leases that ended without an outcome make a delivery a suspect: it is tried alone. */
export const QUARANTINE_AFTER = 2;

/** Four workers died with it, two of them while they had no other suspect: it is not tried again. */
export const POISON_AFTER = 4;

/** Whether an attempt that is started now would end, and be written, within its lease. */
export const fitsLease = (leaseEndsMs: number, timeoutMs: number, nowMs: number): boolean =>
  nowMs + timeoutMs + LEASE_MARGIN_MS <= leaseEndsMs;

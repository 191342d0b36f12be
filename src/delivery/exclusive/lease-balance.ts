/**
 * How the exclusive webhooks are spread over the worker processes. There is no coordinator: each
 * process computes its fair share from the same counts, takes no more than that, and releases what it
 * has beyond it. Shares are rounded up, so that together they cover all webhooks.
 */
export interface LeaseCounts {
  /** Worker processes that are alive, this one included. */
  processes: number;
  /** Webhook leases of all processes, this one included. */
  owned: number;
  /** Webhook leases of this process. */
  mine: number;
}

/** How many of the webhooks that are free and wanted now this process may take. */
export function leasesToTake(counts: LeaseCounts, wanted: number): number {
  return Math.min(Math.max(share(counts, wanted) - counts.mine, 0), wanted);
}

/** How many leases this process has to release. It may keep one above its share: else two would swap. */
export function leasesToRelease(counts: LeaseCounts): number {
  if (counts.processes <= 1) return 0;
  return Math.max(counts.mine - share(counts, 0) - 1, 0);
}

const share = ({ processes, owned }: LeaseCounts, wanted: number): number =>
  Math.ceil((owned + wanted) / Math.max(processes, 1));

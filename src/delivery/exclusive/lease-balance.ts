/**
 * How the lanes are spread over the worker processes. Nobody assigns them: each process computes from
 * the same few figures what a fair share is, takes no more than that, and gives back what it has
 * beyond it. With shares rounded up, everything that is wanted fits into the shares of all.
 */
export interface LeaseCounts {
  /** Worker processes that are alive, this one included. */
  processes: number;
  /** Lanes that are held by anybody, these included. */
  owned: number;
  /** Lanes that this process holds. */
  mine: number;
}

/** How many of the free lanes that are wanted now this process may take. */
export function leasesToTake(census: LeaseCounts, wanted: number): number {
  return Math.min(Math.max(share(census, wanted) - census.mine, 0), wanted);
}

/** How many lanes this process is to give back; it keeps one more than its share, to end the swapping. */
export function leasesToRelease(census: LeaseCounts): number {
  if (census.processes <= 1) return 0;
  return Math.max(census.mine - share(census, 0) - 1, 0);
}

const share = ({ processes, owned }: LeaseCounts, wanted: number): number =>
  Math.ceil((owned + wanted) / Math.max(processes, 1));

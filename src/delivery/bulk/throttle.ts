/**
 * The speed of a bulk operation: a bounded number of its deliveries per webhook is open (pending or
 * leased) at a time. So it is as fast as the receiver, and a receiver that is down gets no more than
 * the bound. The deliveries are cut into slices, of which a few fit below the bound.
 */

/** Slices that make up the bound: the next one starts when a quarter is finished. */
const SLICES = 4;

/** Between two steps of a webhook while its deliveries are finished. */
const MIN_WAIT_MS = 100;
/** While none is, e.g. because its circuit is open. */
const MAX_WAIT_MS = 5_000;

/** Deliveries in one slice, for at most `maxOpen` that are open at once. */
export const sliceSize = (maxOpen: number): number => Math.max(1, Math.floor(maxOpen / SLICES));

/**
 * How many of these slices may start now, in their order.
 * @param open deliveries of this operation and webhook that are not final yet
 */
export function slicesThatFit(slices: readonly number[], open: number, maxOpen: number): number {
  let total = open;
  let count = 0;
  for (const size of slices) {
    // One larger than the bound was cut by a node with another bound: it may start alone.
    if (total + size > maxOpen && total > 0) break;
    total += size;
    count++;
  }
  return count;
}

/** The wait before the next step, which doubles while no delivery is finished. */
export const nextWaitMs = (waitMs: number, hasProgress: boolean): number =>
  hasProgress ? MIN_WAIT_MS : Math.min(Math.max(waitMs * 2, MIN_WAIT_MS), MAX_WAIT_MS);

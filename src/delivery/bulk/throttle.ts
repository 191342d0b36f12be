/**
 * How fast a bulk operation goes: for each webhook a bounded number of its deliveries are open at a
 * time, so its speed is that of the receiver, and a receiver that is down gets no more of it than
 * that bound. The set is cut into slices of which a few fit below the bound.
 */

/** Slices that make up the bound: a new one goes out each time when a quarter has come to an end. */
const SLICES = 4;

/** Between two looks at a webhook whose deliveries move. */
const MIN_WAIT_MS = 100;
/** While nothing moves, e.g. because its circuit is open. */
const MAX_WAIT_MS = 5_000;

/** Deliveries in one slice, for at most `maxOpen` that are open at once. */
export const sliceSize = (maxOpen: number): number => Math.max(1, Math.floor(maxOpen / SLICES));

/**
 * How many of these slices may go out now, in their order.
 * @param open deliveries of this operation and webhook that have not come to an end
 */
export function slicesThatFit(slices: readonly number[], open: number, maxOpen: number): number {
  let total = open;
  let count = 0;
  for (const size of slices) {
    // One that exceeds the bound by itself was cut by a process with another; alone it may go.
    if (total + size > maxOpen && total > 0) break;
    total += size;
    count++;
  }
  return count;
}

/** The wait before the next look, which doubles while nothing moves. */
export const nextWaitMs = (waitMs: number, hasMoved: boolean): number =>
  hasMoved ? MIN_WAIT_MS : Math.min(Math.max(waitMs * 2, MIN_WAIT_MS), MAX_WAIT_MS);

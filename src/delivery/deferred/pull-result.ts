/** What a pull found out about the backlog of a webhook. */
export type PullResult =
  /** Deliveries were claimed, and there may be more. */
  | { kind: 'more' }
  /** There may be more, once a delivery that is outstanding has settled. */
  | { kind: 'busy' }
  /** Pull again after this time. */
  | { kind: 'wait'; ms: number }
  /** There is nothing to do until a signal comes. */
  | { kind: 'idle' };

export const MORE: PullResult = { kind: 'more' };
export const BUSY: PullResult = { kind: 'busy' };
export const IDLE: PullResult = { kind: 'idle' };

/** Deliveries per pull. */
export const MAX_PULL = 200;
/** How soon to look again for a change that no signal announces. */
export const MIN_WAIT_MS = 50;

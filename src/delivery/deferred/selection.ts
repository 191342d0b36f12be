/** Which deferred deliveries of a webhook to claim, of those that may be sent now. */
export type Selection =
  /** Those that are first by priority, and among them so many of the oldest. */
  | { kind: 'urgent'; aged: number }
  /** The oldest, up to this event. */
  | { kind: 'inOrder'; upToEvent: string }
  /** These. */
  | { kind: 'these'; ids: readonly string[] }
  /** Those that were sent in this batch before, all of which are due with the first one. */
  | { kind: 'ofBatch'; batchId: string };

/** Of so many that are claimed by priority, one is the oldest of any priority: so none starves. */
const AGED_SHARE = 1 / 8;

/**
 * How many of those that are claimed are to be the oldest. Where few are claimed at a time, chance
 * keeps the share.
 * @param limit  deliveries that are claimed, at least 1
 * @param chance from 0 to 1, uniform
 */
export const agedCount = (limit: number, chance: number): number =>
  Math.floor(limit * AGED_SHARE + chance);

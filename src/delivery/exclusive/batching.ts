/** A delivery that may be sent in the next batch. */
export interface BatchHead {
  eventId: string;
  /** The batch that it was sent in before. */
  batchId: string | null;
  /** Since its delivery was written. */
  waitedMs: number;
  /** Of its envelope; null: retention has dropped it. */
  bytes: number | null;
}

/** What is sent in the next batch of a webhook. */
export type NextBatch =
  /** A batch that failed before, unchanged. */
  | { kind: 'again'; batchId: string }
  /** A new batch of so many, none after this event. */
  | { kind: 'new'; count: number; upToEvent: string }
  /** The batch is not full yet, and its oldest event may wait this long. */
  | { kind: 'wait'; ms: number };

/** The default limit of nginx for a body. An event has 256 KiB at most. */
export const MAX_BATCH_BYTES = 1024 * 1024;

/**
 * @param heads what may be sent now, in the order of the events: as many as a batch can contain, if
 *   there are as many
 */
export function nextBatch(
  heads: readonly BatchHead[],
  { maxEvents, maxWaitMs }: { maxEvents: number; maxWaitMs: number },
): NextBatch {
  const [first] = heads;
  if (!first) return { kind: 'wait', ms: maxWaitMs };
  if (first.batchId !== null) return { kind: 'again', batchId: first.batchId };
  const firstBatched = heads.findIndex(({ batchId }) => batchId !== null);
  const unbatched = firstBatched === -1 ? heads : heads.slice(0, firstBatched);
  const count = countThatFits(unbatched);
  const waitedMs = Math.max(...unbatched.map((head) => head.waitedMs));
  const isFull = unbatched.length >= maxEvents || firstBatched !== -1 || count < unbatched.length;
  if (!isFull && waitedMs < maxWaitMs) return { kind: 'wait', ms: maxWaitMs - waitedMs };
  return { kind: 'new', count, upToEvent: unbatched[count - 1]!.eventId };
}

/** At least one. The body has one bracket in front, and a comma or the other bracket after each. */
function countThatFits(heads: readonly BatchHead[]): number {
  let bytes = 1;
  for (const [index, head] of heads.entries()) {
    bytes += (head.bytes ?? 0) + 1;
    if (bytes > MAX_BATCH_BYTES) return Math.max(index, 1);
  }
  return heads.length;
}

import type { QueueHead } from '../deferred/deferred.store.js';

/** What is sent in the next batch of a webhook. */
export type NextBatch =
  /** A batch that failed before, the same again. */
  | { kind: 'again'; batchId: string }
  /** A new one of so many, none after this event. */
  | { kind: 'new'; count: number; upToEvent: string }
  /** It is not full yet, and its oldest event may wait this long. */
  | { kind: 'wait'; ms: number };

/** Many receivers take no larger body: it is the default limit of nginx. An event has 256 KiB at most. */
export const MAX_BATCH_BYTES = 1024 * 1024;

/**
 * @param heads what may be sent now, in the order of the events: at least one, and as many as a batch
 *   can hold if there are as many
 */
export function nextBatch(
  heads: readonly QueueHead[],
  { maxEvents, maxWaitMs }: { maxEvents: number; maxWaitMs: number },
): NextBatch {
  const [first] = heads;
  if (!first) return { kind: 'wait', ms: maxWaitMs };
  if (first.batchId !== null) return { kind: 'again', batchId: first.batchId };
  const other = heads.findIndex(({ batchId }) => batchId !== null);
  const fresh = other === -1 ? heads : heads.slice(0, other);
  const count = countThatFits(fresh);
  const waitedMs = Math.max(...fresh.map((head) => head.waitedMs));
  const isFull = fresh.length >= maxEvents || other !== -1 || count < fresh.length;
  if (!isFull && waitedMs < maxWaitMs) return { kind: 'wait', ms: maxWaitMs - waitedMs };
  return { kind: 'new', count, upToEvent: fresh[count - 1]!.eventId };
}

/** At least one. In the body a bracket comes first, and a comma or the other bracket behind each. */
function countThatFits(heads: readonly QueueHead[]): number {
  let bytes = 1;
  for (const [index, head] of heads.entries()) {
    bytes += (head.bytes ?? 0) + 1;
    if (bytes > MAX_BATCH_BYTES) return Math.max(index, 1);
  }
  return heads.length;
}

import type { HeldHead } from './held-deliveries.store.js';

/** What is sent in the next batch of a webhook. */
export type NextBatch =
  /** A batch that failed before, the same again. */
  | { kind: 'again'; batchId: string }
  /** A new one of so many, none after this event. */
  | { kind: 'new'; count: number; upToEvent: string }
  /** It is not full yet, and its oldest event may wait this long. */
  | { kind: 'wait'; ms: number };

/**
 * @param heads what may be sent now, in the order of the events: at least one, and as many as a batch
 *   can hold if there are as many
 */
export function nextBatch(
  heads: readonly HeldHead[],
  { maxEvents, maxWaitMs }: { maxEvents: number; maxWaitMs: number },
): NextBatch {
  const [first] = heads;
  if (!first) return { kind: 'wait', ms: maxWaitMs };
  if (first.batchId !== null) return { kind: 'again', batchId: first.batchId };
  const other = heads.findIndex(({ batchId }) => batchId !== null);
  const fresh = other === -1 ? heads : heads.slice(0, other);
  const waitedMs = Math.max(...fresh.map((head) => head.waitedMs));
  const isFull = fresh.length >= maxEvents || other !== -1;
  if (!isFull && waitedMs < maxWaitMs) return { kind: 'wait', ms: maxWaitMs - waitedMs };
  return { kind: 'new', count: fresh.length, upToEvent: fresh.at(-1)!.eventId };
}

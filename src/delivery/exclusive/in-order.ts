import { QUARANTINE_AFTER } from '../leases/lease.js';
import type { QueueHead } from '../deferred/deferred.store.js';

/**
 * Which of the deliveries at the head of a line may be sent next, where the order counts: those in
 * front, as far as nothing stands between them that has to be waited for.
 */
export type NextInOrder =
  /** So many may be taken, none after this event. */
  | { kind: 'take'; count: number; upToEvent: string; isSuspect: boolean }
  /** The first one may not be sent yet. */
  | { kind: 'wait'; ms: number };

/** Events that are not dispatched yet are, within milliseconds, as a rule. */
const UNDISPATCHED_MS = 50;

/**
 * @param heads      in the order of their events, at least one
 * @param firstOwed  the first event that may be owed and is not in line; undefined: none
 */
export function nextInOrder(
  heads: readonly QueueHead[],
  firstOwed: string | undefined,
): NextInOrder {
  const [first] = heads;
  if (!first) return { kind: 'wait', ms: UNDISPATCHED_MS };
  if (first.readyInMs > 0) return { kind: 'wait', ms: first.readyInMs };
  if (firstOwed !== undefined && firstOwed < first.eventId) {
    return { kind: 'wait', ms: UNDISPATCHED_MS };
  }
  // Workers have died with it: it is tried alone, so that only it is to blame.
  const isSuspect = first.lostLeases >= QUARANTINE_AFTER;
  const end = heads.findIndex(
    (head, index) =>
      index > 0 &&
      (isSuspect ||
        head.lostLeases >= QUARANTINE_AFTER ||
        head.readyInMs > 0 ||
        (firstOwed !== undefined && head.eventId > firstOwed)),
  );
  const count = end === -1 ? heads.length : end;
  return { kind: 'take', count, upToEvent: heads[count - 1]!.eventId, isSuspect };
}

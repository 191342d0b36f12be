/** A delivery at the head of the backlog of an ordered webhook. */
export interface OrderedHead {
  eventId: string;
  /** Until it may be sent; 0 or less: now. */
  readyInMs: number;
  /** Workers have crashed with it: it is sent alone, so that another crash names the cause. */
  isQuarantined: boolean;
}

export type NextInOrder =
  /** So many may be claimed, none after this event. */
  | { kind: 'take'; count: number; upToEvent: string; isQuarantined: boolean }
  /** The first one may not be sent yet. */
  | { kind: 'wait'; ms: number };

/**
 * The first event that belongs before deliveries of the backlog, and has no delivery yet; undefined:
 * there is none.
 *
 * Only some of the events may have been read. Those behind the last one are not known, so that one
 * counts as missing: what is behind it waits until fewer are undispatched.
 * @param undispatched events that may be for the webhook, in their order
 * @param isForWebhook whether it is for the webhook
 * @param limit        how many were read at most
 */
export function firstMissing<Event extends { eventId: string }>(
  undispatched: readonly Event[],
  isForWebhook: (event: Event) => boolean,
  limit: number,
): string | undefined {
  const missing = undispatched.find(isForWebhook);
  const lastRead = undispatched.length < limit ? undefined : undispatched.at(-1);
  return (missing ?? lastRead)?.eventId;
}

/** Events without a delivery row get it within milliseconds, as a rule. */
const UNDISPATCHED_MS = 50;

/**
 * Which deliveries of an ordered webhook may be sent next: those at the head of its backlog, up to the
 * first that has to wait.
 * @param heads   in the order of their events
 * @param missing the first event that may be for the webhook and has no delivery yet
 */
export function nextInOrder(
  heads: readonly OrderedHead[],
  missing: string | undefined,
): NextInOrder {
  const [first] = heads;
  if (!first) return { kind: 'wait', ms: UNDISPATCHED_MS };
  if (first.readyInMs > 0) return { kind: 'wait', ms: first.readyInMs };
  if (missing !== undefined && missing < first.eventId) {
    return { kind: 'wait', ms: UNDISPATCHED_MS };
  }
  const { isQuarantined } = first;
  const end = heads.findIndex(
    (head, index) =>
      index > 0 &&
      (isQuarantined ||
        head.isQuarantined ||
        head.readyInMs > 0 ||
        (missing !== undefined && head.eventId > missing)),
  );
  const count = end === -1 ? heads.length : end;
  return { kind: 'take', count, upToEvent: heads[count - 1]!.eventId, isQuarantined };
}

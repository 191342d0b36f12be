/** What `last` of a subscription is answered with, from several searches of the log. */
import type { LoggedEvent } from './log-page.js';

/** The newest events of a topic, and whether older rows of the log were not searched. */
export interface LastEvents {
  /** In the order of the log. */
  events: readonly LoggedEvent[];
  /** True: there may be more than were found, further back than is searched. */
  truncated: boolean;
}

/**
 * The newest of the events that were found in several searches, each the newest first.
 *
 * @param floors where a search that found too few has stopped: it knows nothing of what is older
 */
export function newestOf(
  found: readonly LoggedEvent[],
  count: number,
  floors: readonly string[],
): LastEvents {
  const newest = found.toSorted((a, b) => (a.id < b.id ? 1 : -1)).slice(0, count);
  const oldest = newest.at(-1)?.id;
  const truncated = floors.some(
    (floor) => newest.length < count || (oldest !== undefined && oldest < floor),
  );
  return { events: inLogOrder(newest), truncated };
}

/** Each event once, in the order of the log. */
export function inLogOrder(events: readonly LoggedEvent[]): LoggedEvent[] {
  return [...new Map(events.map((event) => [event.id, event])).values()].toSorted(byPosition);
}

function byPosition(a: LoggedEvent, b: LoggedEvent): number {
  const [aTx, bTx] = [BigInt(a.tx), BigInt(b.tx)];
  if (aTx !== bTx) return aTx < bTx ? -1 : 1;
  return a.id < b.id ? -1 : 1;
}

import { firstSuffixAt, timeOf } from '../../shared/ids.js';
import type { Audience } from '../fanout/rooms.js';

/**
 * Order of the log: by transaction, then by id. What a client has missed follows from what its last
 * event could not see itself; ids alone would skip events that commit late.
 */
export interface LogPosition {
  tx: string;
  id: string;
}

/** A position with the node that published the event to connections; see EventEntity. */
export interface LoggedPosition extends LogPosition {
  publishedBy: number | null;
}

/** Where in the log a client resumes: after the last event that it received, or at a position. */
export interface ResumePoint {
  /** Who may resume after the event; null: the point is no event, and any client may. */
  audience: Audience | null;
  /** That of the event. Of a position: before every event of its millisecond. */
  position: LogPosition;
  /** The node that sent the event; null: of a position, and of an event of a caller's transaction. */
  publishedBy: number | null;
  /** What the client has not missed: what had committed when the event or the position was written. */
  snapshot: Snapshot;
  /** Where the {@link ReorderWindow} begins; a position has none ({@link NO_REORDERING}). */
  reorderFromId: string;
  /** The oldest transaction with an event in the {@link ReorderWindow}; undefined: there is none. */
  reorderableTx: bigint | undefined;
}

/**
 * Events that were committed before the resume point and may have been sent after it. A node sends what
 * it writes in the order of its commits. Another node, or a caller's own transaction, may have
 * committed an event before the resume point that was sent after it: if it is young enough it is sent
 * again, because a duplicate is better than a gap.
 */
export interface ReorderWindow {
  /** Ids below this one are too old. */
  fromId: string;
  /** Events of this node are in order; null: none are. */
  publishedBy: number | null;
}

/**
 * Positions are rounded down to a multiple of so many transactions, so that clients that were cut off at
 * nearly the same position share their reads. Few, because one transaction may have written a thousand
 * events.
 */
const TRANSACTIONS_PER_START = 16n;

/** Above every id. A position says exactly what had committed, so nothing before it is sent again. */
export const NO_REORDERING = 'evt_~';

/** No transaction that publishes lasts longer, so older partitions need not be read. */
const LONGEST_TRANSACTION_MS = 86_400_000;
const HOUR_MS = 3_600_000;

/** The longest time between the commit of an event and the moment at which the last client is sent it. */
const REORDER_WINDOW_MS = 5_000;

/**
 * What had committed when a transaction wrote an event. PostgreSQL's `pg_snapshot` of that moment,
 * `xmin:xmax:xip,xip,…`, leaves the transaction itself out, as if it had ended; here it is running.
 */
export class Snapshot {
  /** The oldest transaction that was running. */
  readonly horizon: bigint;
  /** The first transaction that had not begun. */
  readonly end: bigint;
  private readonly running: ReadonlySet<bigint>;

  /** @param writer the transaction that wrote it; undefined: it only read */
  constructor(text: string, writer?: bigint) {
    const [horizon = '', end = '', running = ''] = text.split(':');
    this.horizon = BigInt(horizon);
    this.end = BigInt(end);
    const others = running.split(',').filter(Boolean).map(BigInt);
    const isOwn = writer !== undefined && this.horizon <= writer && writer < this.end;
    this.running = new Set(isOwn ? [...others, writer] : others);
  }

  /** As PostgreSQL writes it. */
  get text(): string {
    const running = [...this.running].sort((one, other) => (one < other ? -1 : 1));
    return `${this.horizon}:${this.end}:${running.join(',')}`;
  }

  /** Whether the transaction had ended. */
  sees(tx: bigint): boolean {
    return tx < this.end && !this.running.has(tx);
  }

  /** Transactions end once, so of two snapshots the later one sees everything that the earlier one sees. */
  isBefore({ end, running }: Snapshot): boolean {
    return this.end - BigInt(this.running.size) < end - BigInt(running.size);
  }
}

/** Where a client that resumes there begins to read; at or before the first event that it missed. */
export function beginningFor({ snapshot: { horizon }, reorderableTx }: ResumePoint): LogPosition {
  const first = reorderableTx !== undefined && reorderableTx < horizon ? reorderableTx : horizon;
  return { tx: String(first - (first % TRANSACTIONS_PER_START)), id: '' };
}

/** The smallest id of events that may have been sent after this one although it saw them. */
export const reorderWindowStart = (eventId: string): string =>
  `evt_${firstSuffixAt(timeOf(eventId) - REORDER_WINDOW_MS)}`;

/** Below all ids that a client can have missed that resumes there. */
export function lowestIdFor({ position }: ResumePoint): string {
  const ms = timeOf(position.id) - LONGEST_TRANSACTION_MS;
  return `evt_${firstSuffixAt(ms - (ms % HOUR_MS))}`;
}

/** Whether a client that resumes there has missed the event, or may have. */
export function isMissed(
  { position, publishedBy, snapshot, reorderFromId }: ResumePoint,
  event: LoggedPosition,
): boolean {
  const mayBeReordered = event.publishedBy === null || event.publishedBy !== publishedBy;
  if (event.tx === position.tx)
    return mayBeReordered ? event.id !== position.id : event.id > position.id;
  if (!snapshot.sees(BigInt(event.tx))) return true;
  return mayBeReordered && event.id >= reorderFromId;
}

/** The reorder window of all these resume points, whose events were sent by the same node. */
export const reorderWindowOf = (points: readonly ResumePoint[]): ReorderWindow => ({
  fromId: points.map(({ reorderFromId }) => reorderFromId).sort()[0]!,
  publishedBy: points[0]!.publishedBy,
});

/** The earliest snapshot: what it saw, none of the clients has missed. */
export const firstSnapshot = (points: readonly ResumePoint[]): Snapshot =>
  points.reduce(
    (first, { snapshot }) => (snapshot.isBefore(first) ? snapshot : first),
    points[0]!.snapshot,
  );

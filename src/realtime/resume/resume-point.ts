import { firstSuffixAt, timeOf } from '../../shared/ids.js';
import type { Audience } from '../fanout/rooms.js';

/**
 * Order of the log: by transaction, then by id. What a reader has not seen yet follows from what the
 * event that it saw last could not see itself; ids alone would skip whatever commits late.
 */
export interface LogPosition {
  tx: string;
  id: string;
}

/** An event with its place in the log, and with who told sockets of it; see EventEntity. */
export interface LoggedPosition extends LogPosition {
  publishedBy: number | null;
}

/** An event of the log as a place to go on from. */
export interface ResumePoint extends Audience {
  position: LogPosition;
  publishedBy: number | null;
  /** What had committed when it was written. */
  snapshot: Snapshot;
  /** The oldest transaction with an event that is {@link ReorderWindow in doubt}; undefined: there is none. */
  reorderableTx: bigint | undefined;
}

/**
 * Of which events it is not known whether somebody who has heard the landmark has heard them, although
 * the landmark saw them. A process tells what it writes in the order of its commits. What another one
 * wrote, or a caller's own transaction, may have been told after the landmark though it was committed
 * before: it is sent again, rather than not at all, if it is as young as that.
 */
export interface ReorderWindow {
  /** Ids below this one are too old. */
  fromId: string;
  /** Events of this process are not in doubt; null: all are. */
  publishedBy: number | null;
}

/**
 * Transactions by which readers may begin earlier than they have to, so that those who were cut at
 * nearly the same place begin at the same one and can share what they read. Few, because a single one
 * may have written a thousand events.
 */
const NEARLY_THE_SAME = 16n;

/** No transaction that publishes lasts longer; it lets the planner leave out older partitions. */
const LONGEST_TRANSACTION_MS = 86_400_000;
const HOUR_MS = 3_600_000;

/** Between the commit of an event and the moment in which the last client is told, at worst. */
const TOLD_WITHIN_MS = 5_000;

/**
 * What had committed when a transaction wrote an event. PostgreSQL's `pg_snapshot` of that moment,
 * `xmin:xmax:xip,xip,…`, leaves the transaction itself out, as if it had ended; here it is under way.
 */
export class Snapshot {
  /** The oldest transaction that was under way. */
  readonly horizon: bigint;
  private readonly end: bigint;
  private readonly underWay: ReadonlySet<bigint>;

  constructor(text: string, writer: bigint) {
    const [horizon = '', end = '', underWay = ''] = text.split(':');
    this.horizon = BigInt(horizon);
    this.end = BigInt(end);
    const others = underWay.split(',').filter(Boolean).map(BigInt);
    const isBetween = this.horizon <= writer && writer < this.end;
    this.underWay = new Set(isBetween ? [...others, writer] : others);
  }

  /** As PostgreSQL writes it. */
  get text(): string {
    const underWay = [...this.underWay].sort((one, other) => (one < other ? -1 : 1));
    return `${this.horizon}:${this.end}:${underWay.join(',')}`;
  }

  /** Whether the transaction was over. */
  sees(tx: bigint): boolean {
    return tx < this.end && !this.underWay.has(tx);
  }

  /** Transactions only ever end, so of two snapshots the later one sees whatever the other one does. */
  isBefore({ end, underWay }: Snapshot): boolean {
    return this.end - BigInt(this.underWay.size) < end - BigInt(underWay.size);
  }
}

/** Where somebody who has seen the landmark begins to read; at or before the first that was missed. */
export function beginningFor({ snapshot: { horizon }, reorderableTx }: ResumePoint): LogPosition {
  const first = reorderableTx !== undefined && reorderableTx < horizon ? reorderableTx : horizon;
  return { tx: String(first - (first % NEARLY_THE_SAME)), id: '' };
}

/** The smallest id of events that may have been told after an event although it saw them. */
export const reorderWindowStart = (eventId: string): string =>
  `evt_${firstSuffixAt(timeOf(eventId) - TOLD_WITHIN_MS)}`;

/** Below all ids that somebody who has seen the landmark can have missed. */
export function lowestIdFor({ position }: ResumePoint): string {
  const ms = timeOf(position.id) - LONGEST_TRANSACTION_MS;
  return `evt_${firstSuffixAt(ms - (ms % HOUR_MS))}`;
}

/** Whether somebody who has seen the landmark has missed the event, or may have. */
export function isMissed(
  { position, publishedBy, snapshot }: ResumePoint,
  event: LoggedPosition,
): boolean {
  const isInDoubt = event.publishedBy === null || event.publishedBy !== publishedBy;
  if (event.tx === position.tx)
    return isInDoubt ? event.id !== position.id : event.id > position.id;
  if (!snapshot.sees(BigInt(event.tx))) return true;
  return isInDoubt && event.id >= reorderWindowStart(position.id);
}

/** What is in doubt for any of those who have seen these; they were told by the same process. */
export const reorderWindowOf = (landmarks: readonly ResumePoint[]): ReorderWindow => ({
  fromId: landmarks.map(({ position }) => reorderWindowStart(position.id)).sort()[0]!,
  publishedBy: landmarks[0]!.publishedBy,
});

/** The snapshot before all others: what it saw, nobody has missed. */
export const firstSnapshot = (landmarks: readonly ResumePoint[]): Snapshot =>
  landmarks.reduce(
    (first, { snapshot }) => (snapshot.isBefore(first) ? snapshot : first),
    landmarks[0]!.snapshot,
  );

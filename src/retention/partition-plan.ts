import { firstSuffixAt } from '../shared/ids.js';

/**
 * Which partitions the log should have, and which are to be dropped. A day, in UTC, is one partition
 * in each of the three tables; an id contains its millisecond, so a day is a range of ids. A delivery
 * and its attempts are in the day of their event.
 */
export const LOG_TABLES = ['deliveries', 'delivery_attempts', 'events'] as const;
export type LogTable = (typeof LOG_TABLES)[number];

/** The column that a table is partitioned by. */
export const KEY = { deliveries: 'id', delivery_attempts: 'delivery_id', events: 'id' } as const;

const PREFIX = { deliveries: 'dlv_', delivery_attempts: 'dlv_', events: 'evt_' } as const;

/** A partition of a table. The bounds are suffixes of ids: `from` is inclusive, `to` is not. */
export interface Partition {
  table: LogTable;
  name: string;
  from: string;
  to: string;
}

const DAY_MS = 86_400_000;

/** Days whose partitions exist in advance: for so long retention may fail without harm. */
export const DAYS_AHEAD = 7;

const BOUND =
  /^FOR VALUES FROM \((?:MINVALUE|'[a-z]+_(\w*)')\) TO \((?:MAXVALUE|'[a-z]+_(\w*)')\)$/;

/** Greater than every suffix. */
const END = '~';

/** An id of this table as a bound. */
export const idAt = (table: LogTable, suffix: string): string => PREFIX[table] + suffix;

/** @param bound as PostgreSQL's catalogue writes it. Undefined for one that is no range: DEFAULT */
export function partitionOf(table: LogTable, name: string, bound: string): Partition | undefined {
  const range = BOUND.exec(bound);
  return range ? { table, name, from: range[1] ?? '', to: range[2] ?? END } : undefined;
}

/** Partitions of today and the days ahead that do not exist, the nearest first. */
export function missingPartitions(existing: readonly Partition[], nowMs: number): Partition[] {
  const today = Math.floor(nowMs / DAY_MS);
  const days = Array.from({ length: DAYS_AHEAD + 1 }, (_, ahead) => today + ahead);
  return days
    .flatMap((day) => LOG_TABLES.map((table) => partitionOfDay(table, day)))
    .filter((wanted) => !existing.some((partition) => overlap(partition, wanted)));
}

/**
 * Partitions with nothing younger than the retention, the oldest first. Those of one day are in the
 * order of {@link LOG_TABLES}: deliveries go before their event, so none is ever without it.
 */
export function expiredPartitions(
  existing: readonly Partition[],
  nowMs: number,
  retentionDays: number,
): Partition[] {
  const end = expiredBefore(nowMs, retentionDays);
  return existing
    .filter(({ to }) => to <= end)
    .sort((a, b) => compare(a.to, b.to) || rank(a) - rank(b));
}

/** Suffixes below this one are older than the retention. */
export const expiredBefore = (nowMs: number, retentionDays: number): string =>
  firstSuffixAt(nowMs - retentionDays * DAY_MS);

/** Whether an id can be in both. */
const overlap = (a: Partition, b: Partition): boolean =>
  a.table === b.table && a.from < b.to && b.from < a.to;

function partitionOfDay(table: LogTable, day: number): Partition {
  const date = new Date(day * DAY_MS).toISOString().slice(0, 10).replaceAll('-', '');
  return {
    table,
    name: `${table}_${date}`,
    from: firstSuffixAt(day * DAY_MS),
    to: firstSuffixAt((day + 1) * DAY_MS),
  };
}

const rank = ({ table }: Partition): number => LOG_TABLES.indexOf(table);

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

import { firstSuffixAt } from '../shared/ids.js';

/**
 * Which partitions the log should have, and which it should have no more. A day, in UTC, is one
 * partition in each of the three tables; an id holds its millisecond, so a day is a range of ids. A
 * delivery and its attempts stand in the day of their event.
 */
export const LOG_TABLES = ['deliveries', 'delivery_attempts', 'events'] as const;
export type LogTable = (typeof LOG_TABLES)[number];

/** The column that a table is partitioned by. */
export const KEY = { deliveries: 'id', delivery_attempts: 'delivery_id', events: 'id' } as const;

const PREFIX = { deliveries: 'dlv_', delivery_attempts: 'dlv_', events: 'evt_' } as const;

/** Part of a table. The bounds are suffixes of ids: from the first one on, before the second one. */
export interface Partition {
  table: LogTable;
  name: string;
  from: string;
  to: string;
}

const DAY_MS = 86_400_000;

/** Days that are made before they come: for so long, nothing may see to it without harm. */
export const DAYS_AHEAD = 7;

const BOUND =
  /^FOR VALUES FROM \((?:MINVALUE|'[a-z]+_(\w*)')\) TO \((?:MAXVALUE|'[a-z]+_(\w*)')\)$/;

/** Greater than every suffix. */
const END = '~';

/** An id of this table as a bound. */
export const idAt = (table: LogTable, suffix: string): string => PREFIX[table] + suffix;

/** @param bound as the catalogue writes it; undefined for one that is no range, such as DEFAULT */
export function partitionOf(table: LogTable, name: string, bound: string): Partition | undefined {
  const range = BOUND.exec(bound);
  return range ? { table, name, from: range[1] ?? '', to: range[2] ?? END } : undefined;
}

/** Of the days from today on, those that a table does not have; the nearest first. */
export function missingPartitions(existing: readonly Partition[], nowMs: number): Partition[] {
  const today = Math.floor(nowMs / DAY_MS);
  const days = Array.from({ length: DAYS_AHEAD + 1 }, (_, ahead) => today + ahead);
  return days
    .flatMap((day) => LOG_TABLES.map((table) => partitionOfDay(table, day)))
    .filter((wanted) => !existing.some((partition) => overlap(partition, wanted)));
}

/**
 * Those that hold nothing younger than the retention; the oldest first, and of one age in the order
 * of {@link LOG_TABLES}: an event outlives its deliveries, so there is never a delivery without it.
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

import { Injectable } from '@nestjs/common';
import { rowOf } from '../database/keyed-lookup.js';
import { pendingEvents } from './pending-events.statements.js';
import {
  idAt,
  KEY,
  LOG_TABLES,
  type LogTable,
  type Partition,
  partitionOf,
} from './partition-plan.js';
import type { Session } from './retention-lock.store.js';

/**
 * Rows that may be moved under a lock that blocks all writers: about a tenth of a second. A partition
 * with more of them is emptied row by row instead.
 */
const MAX_MOVED = 10_000;

/**
 * Statements that request a lock queue behind one that waits for a stronger lock, so we wait briefly
 * and try again. Less than `deadlock_timeout`, so that in a deadlock it is never the other transaction
 * that fails.
 */
const LOCK_TIMEOUT_MS = 400;
/** The longest that one statement may run under a lock. */
const STATEMENT_TIMEOUT_MS = 2_000;

const LIST = `
  SELECT t.relname AS table, p.relname AS name, pg_get_expr(p.relpartbound, p.oid) AS bound
    FROM pg_class t JOIN pg_inherits i ON i.inhparent = t.oid JOIN pg_class p ON p.oid = i.inhrelid
   WHERE t.relnamespace = current_schema()::regnamespace AND t.relname = ANY ($1::text[])`;

/** The columns of a partition may be in another order than those of its table. */
const COLUMNS = `
  SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) AS columns
    FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped`;

/** Free space for updates on the same page; partitions do not inherit it. */
const FREE_SPACE: Record<LogTable, string> = {
  deliveries: 'WITH (fillfactor = 85)',
  delivery_attempts: '',
  events: '',
};

const PENDING_EVENTS = pendingEvents('$1', '$2');

/** The deliveries of an event are within its millisecond. */
const deliveriesOf = (part: string, eventId: string): string =>
  rowOf(
    part,
    'id',
    `id >= 'dlv_' || substr(${eventId}, 5, 10) AND id < 'dlv_' || substr(${eventId}, 5, 10) || '~'
       AND event_id = ${eventId}`,
  );

const DELIVERIES_OF_DAY = `
  SELECT id, event_id FROM deliveries
   WHERE id >= 'dlv_' || substr($1::text, 5) AND id < 'dlv_' || substr($2::text, 5)`;

/**
 * Keys of the rows of a partition that have to be kept. $1 and $2: the bounds of its events. Each row
 * is looked up by itself: what is kept is little of a table that may be large.
 */
const KEPT: Record<LogTable, (part: string) => string> = {
  deliveries: (part) => `
    SELECT id FROM ${part} WHERE due_at IS NOT NULL
     UNION SELECT id FROM ${part} WHERE due_at IS NULL AND status IN ('pending', 'retrying')
     UNION SELECT id FROM ${part} WHERE status = 'delivering'
     UNION SELECT d.id FROM (${PENDING_EVENTS}) AS pending
             CROSS JOIN ${deliveriesOf(part, 'pending.event_id')} AS d`,
  delivery_attempts: (part) => `
    SELECT a.delivery_id FROM (${DELIVERIES_OF_DAY}) AS d
      CROSS JOIN ${rowOf(part, 'delivery_id', 'delivery_id = d.id')} AS a`,
  events: (part) => `
    SELECT e.id
      FROM (${PENDING_EVENTS} UNION SELECT event_id FROM (${DELIVERIES_OF_DAY}) AS d) AS kept
      CROSS JOIN ${rowOf(part, 'id', 'id = kept.event_id')} AS e`,
};

/** Creates and drops partitions of the log, each in one transaction: there is no state in between. */
@Injectable()
export class LogPartitionsStore {
  /** The partitions that are ranges; the DEFAULT ones take what is in no range. */
  async list(session: Session): Promise<Partition[]> {
    const { rows } = await session.query<{ table: LogTable; name: string; bound: string }>(LIST, [
      [...LOG_TABLES],
    ]);
    return rows.flatMap(({ table, name, bound }) => partitionOf(table, name, bound) ?? []);
  }

  /**
   * Creates a partition and moves its rows out of the DEFAULT one.
   * @returns false if these are too many: they stay there and are deleted when they are old
   */
  async create(session: Session, partition: Partition): Promise<boolean> {
    const { table, name } = partition;
    const inRange = `${KEY[table]} >= '${idAt(table, partition.from)}'
                 AND ${KEY[table]} < '${idAt(table, partition.to)}'`;
    const columns = await this.columns(session, table);
    return briefly(session, async () => {
      await session.query(
        `CREATE TABLE "${name}" (LIKE ${table} INCLUDING ALL) ${FREE_SPACE[table]}`,
      );
      // A stronger lock than ATTACH needs: a writer that has chosen the DEFAULT partition already would
      // be refused by it, and a reader that has planned without the new partition would miss the rows
      // that were moved.
      await session.query(`LOCK TABLE ONLY ${table} IN ACCESS EXCLUSIVE MODE`);
      const moving = `SELECT 1 FROM ${table}_default WHERE ${inRange}`;
      if (await isMore(session, moving, [])) return false;
      await session.query(`
        WITH moved AS (DELETE FROM ${table}_default WHERE ${inRange} RETURNING *)
        INSERT INTO "${name}" (${columns}) SELECT ${columns} FROM moved`);
      await session.query(`
        ALTER TABLE ${table} ATTACH PARTITION "${name}"
          FOR VALUES FROM ('${idAt(table, partition.from)}') TO ('${idAt(table, partition.to)}')`);
      return true;
    });
  }

  /** Whether more rows of this partition have to be kept than can be moved at once. */
  hasMuchToKeep(session: Session, partition: Partition): Promise<boolean> {
    const { table, name } = partition;
    return isMore(session, KEPT[table](`"${name}"`), eventBounds(partition));
  }

  /**
   * Drops a partition. Rows that are still needed move to the DEFAULT one in the same transaction.
   * @returns how many rows were moved
   */
  async drop(session: Session, partition: Partition): Promise<number> {
    const { table, name } = partition;
    const columns = await this.columns(session, table);
    const kept = KEPT[table](`"${name}"`);
    return briefly(session, async () => {
      await session.query(`LOCK TABLE ONLY ${table} IN ACCESS EXCLUSIVE MODE`);
      // Not CONCURRENTLY: PostgreSQL refuses that for a table with a DEFAULT partition, and there would
      // be a moment in which the rows that are kept are in no table.
      await session.query(`ALTER TABLE ${table} DETACH PARTITION "${name}"`);
      const { rowCount } = await session.query(
        `INSERT INTO ${table} (${columns})
         SELECT ${columns} FROM "${name}" WHERE ${KEY[table]} = ANY (ARRAY(${kept}))`,
        eventBounds(partition),
      );
      // The files are removed after the locks are released, however large they are.
      await session.query(`DROP TABLE "${name}"`);
      return rowCount ?? 0;
    });
  }

  private async columns(session: Session, table: LogTable): Promise<string> {
    const { rows } = await session.query<{ columns: string }>(COLUMNS, [table]);
    return rows[0]!.columns;
  }
}

const eventBounds = ({ from, to }: Partition): string[] => [
  idAt('events', from),
  idAt('events', to),
];

async function isMore(session: Session, select: string, values: string[]): Promise<boolean> {
  const { rows } = await session.query<{ count: number }>(
    `SELECT count(*)::int AS count FROM (SELECT 1 FROM (${select}) AS s LIMIT ${MAX_MOVED + 1}) AS s`,
    values,
  );
  return rows[0]!.count > MAX_MOVED;
}

/** A transaction that neither keeps nor awaits a lock for long. */
async function briefly<T>(session: Session, run: () => Promise<T>): Promise<T> {
  await session.query('BEGIN');
  try {
    await session.query(`SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS};
                         SET LOCAL statement_timeout = ${STATEMENT_TIMEOUT_MS}`);
    const result = await run();
    await session.query(result === false ? 'ROLLBACK' : 'COMMIT');
    return result;
  } catch (error) {
    await session.query('ROLLBACK').catch(() => undefined);
    throw error;
  }
}

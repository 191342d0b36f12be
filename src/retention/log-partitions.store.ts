import { Injectable } from '@nestjs/common';
import { OWED_EVENTS } from './owed-events.js';
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
 * Rows that may be moved while everybody waits: about a tenth of a second. A part with more of them
 * is emptied row by row instead.
 */
const MAX_MOVED = 10_000;

/**
 * Whoever waits for a lock makes everybody behind it wait, so it waits briefly and tries again. Less
 * than `deadlock_timeout`: if two stand in each other's way, it is never the other one that fails.
 */
const LOCK_TIMEOUT_MS = 400;
/** The longest that one statement may go on under a lock. */
const STATEMENT_TIMEOUT_MS = 2_000;

const LIST = `
  SELECT t.relname AS table, p.relname AS name, pg_get_expr(p.relpartbound, p.oid) AS bound
    FROM pg_class t JOIN pg_inherits i ON i.inhparent = t.oid JOIN pg_class p ON p.oid = i.inhrelid
   WHERE t.relnamespace = current_schema()::regnamespace AND t.relname = ANY ($1::text[])`;

/** A part that came with an older version may have its columns in another order. */
const COLUMNS = `
  SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) AS columns
    FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped`;

/** Rows are rewritten on their own page; each part has to be told. */
const FREE_SPACE: Record<LogTable, string> = {
  deliveries: 'WITH (fillfactor = 85)',
  delivery_attempts: '',
  events: '',
};

/** Keys of the rows of a part that outlive it. $1 and $2: the bounds of its events. */
const KEPT: Record<LogTable, (part: string) => string> = {
  deliveries: (part) => `
    SELECT id FROM ${part} WHERE due_at IS NOT NULL
     UNION SELECT id FROM ${part} WHERE due_at IS NULL AND status IN ('pending', 'retrying')
     UNION SELECT id FROM ${part} WHERE status = 'delivering'
     UNION SELECT d.id
             FROM (${OWED_EVENTS}) AS owed
             JOIN ${part} d ON d.event_id = owed.event_id
              AND d.id >= 'dlv_' || substr(owed.event_id, 5, 10)
              AND d.id < 'dlv_' || substr(owed.event_id, 5, 10) || '~'`,
  delivery_attempts: (part) => `
    SELECT a.delivery_id FROM deliveries d JOIN ${part} a ON a.delivery_id = d.id
     WHERE d.id >= 'dlv_' || substr($1::text, 5) AND d.id < 'dlv_' || substr($2::text, 5)`,
  events: (part) => `
    SELECT e.id
      FROM (${OWED_EVENTS}
            UNION SELECT event_id FROM deliveries
                   WHERE id >= 'dlv_' || substr($1::text, 5) AND id < 'dlv_' || substr($2::text, 5)) AS owed
      JOIN ${part} e ON e.id = owed.event_id`,
};

/** Makes and drops partitions of the log, each in one transaction: there is no state in between. */
@Injectable()
export class LogPartitionsStore {
  /** Those that are ranges; the DEFAULT ones take what is in no range. */
  async list(session: Session): Promise<Partition[]> {
    const { rows } = await session.query<{ table: LogTable; name: string; bound: string }>(LIST, [
      [...LOG_TABLES],
    ]);
    return rows.flatMap(({ table, name, bound }) => partitionOf(table, name, bound) ?? []);
  }

  /**
   * Makes a partition, with the rows that the DEFAULT one holds of it.
   * @returns false if these are too many: they stay there, to be deleted when they are old
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
      // All wait here, although ATTACH asks for less. A writer that has chosen the DEFAULT partition
      // already would be refused by it; a reader that knows no other partition yet would not find
      // the rows that have moved.
      await session.query(`LOCK TABLE ONLY ${table} IN ACCESS EXCLUSIVE MODE`);
      const strays = `SELECT 1 FROM ${table}_default WHERE ${inRange}`;
      if (await isMore(session, strays, [])) return false;
      await session.query(`
        WITH moved AS (DELETE FROM ${table}_default WHERE ${inRange} RETURNING *)
        INSERT INTO "${name}" (${columns}) SELECT ${columns} FROM moved`);
      await session.query(`
        ALTER TABLE ${table} ATTACH PARTITION "${name}"
          FOR VALUES FROM ('${idAt(table, partition.from)}') TO ('${idAt(table, partition.to)}')`);
      return true;
    });
  }

  /** Whether more rows have to outlive this partition than can be moved at once. */
  hasMuchToKeep(session: Session, partition: Partition): Promise<boolean> {
    const { table, name } = partition;
    return isMore(session, KEPT[table](`"${name}"`), eventBounds(partition));
  }

  /**
   * Drops a partition. What is still owed moves to the DEFAULT one in the same transaction.
   * @returns how many rows that were
   */
  async drop(session: Session, partition: Partition): Promise<number> {
    const { table, name } = partition;
    const columns = await this.columns(session, table);
    const kept = KEPT[table](`"${name}"`);
    return briefly(session, async () => {
      // Few rows of many are wanted: never read all of them, whatever the planner knows.
      await session.query(`SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off;
                           SET LOCAL enable_mergejoin = off`);
      await session.query(`LOCK TABLE ONLY ${table} IN ACCESS EXCLUSIVE MODE`);
      // Not CONCURRENTLY, which PostgreSQL refuses to a table with a DEFAULT partition, and which
      // would show a moment in which what is owed is nowhere.
      await session.query(`ALTER TABLE ${table} DETACH PARTITION "${name}"`);
      const { rowCount } = await session.query(
        `INSERT INTO ${table} (${columns})
         SELECT ${columns} FROM "${name}" WHERE ${KEY[table]} IN (${kept})`,
        eventBounds(partition),
      );
      // The files go after the locks are released, however large they are.
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

/** A transaction that holds no lock for long, and waits for none for long. */
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

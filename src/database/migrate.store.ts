import type { DataSource } from 'typeorm';

/** Key of the advisory lock: the same in every process, and unlikely in other applications. */
const MIGRATION_LOCK = 7_205_769_437;

/**
 * Brings the schema up to date. TypeORM takes no lock itself: of two processes that start on an empty
 * database, both would create the tables and one would fail.
 */
export async function migrateUnderLock(dataSource: DataSource): Promise<void> {
  const lock = dataSource.createQueryRunner();
  try {
    await lock.query(`SET statement_timeout = 0`);
    await lock.query(`SELECT pg_advisory_lock(${MIGRATION_LOCK})`);
    await dataSource.runMigrations({ transaction: 'all' });
  } finally {
    await lock.query(`SELECT pg_advisory_unlock(${MIGRATION_LOCK})`).catch(() => undefined);
    await lock.query(`RESET statement_timeout`).catch(() => undefined);
    await lock.release();
  }
}

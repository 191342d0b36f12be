import type { DataSource } from 'typeorm';

/** Any number that no other user of the database takes; the same in every process of Tidings. */
const MIGRATION_LOCK = 7_205_769_437;

/**
 * Brings the schema up to date. TypeORM itself takes no lock: two processes that start together on
 * an empty database would both create its tables and one would die.
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

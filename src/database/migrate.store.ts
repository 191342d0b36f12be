import { Logger } from '@nestjs/common';
import { type DataSource, MigrationExecutor } from 'typeorm';
import { forgetForeignPositions } from './log-positions.store.js';

/** Key of the advisory lock: the same in every process, and unlikely in other applications. */
const MIGRATION_LOCK = 7_205_769_437;

/**
 * Brings the schema up to date, in one transaction and under a lock. TypeORM takes no lock itself: of
 * two processes that start on an empty database, both would create the tables and one would fail.
 */
export async function migrateUnderLock(dataSource: DataSource): Promise<void> {
  const runner = dataSource.createQueryRunner();
  try {
    await runner.startTransaction();
    await runner.query(`SET LOCAL statement_timeout = 0`);
    await runner.query(`SELECT pg_advisory_xact_lock(${MIGRATION_LOCK})`);
    await new MigrationExecutor(dataSource, runner).executePendingMigrations();
    if (await forgetForeignPositions(runner)) {
      new Logger('PostgreSQL').warn(
        'the event log was restored from another server: clients cannot resume from its events',
      );
    }
    await runner.commitTransaction();
  } catch (error) {
    if (runner.isTransactionActive) await runner.rollbackTransaction().catch(() => undefined);
    throw error;
  } finally {
    await runner.release();
  }
}

import type { DataSource } from 'typeorm';

/** How many statements of this database wait for a lock of another transaction. */
export async function waitingForLocks(source: DataSource): Promise<number> {
  const waiting = await source.query<unknown[]>(
    `SELECT 1 FROM pg_stat_activity
      WHERE datname = current_database() AND wait_event_type = 'Lock'`,
  );
  return waiting.length;
}

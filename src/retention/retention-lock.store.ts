import { Injectable } from '@nestjs/common';
import { PostgresClient } from '../database/postgres.client.js';

/** A connection that holds the lock of retention. */
export type Session = ReturnType<PostgresClient['createClient']>;

/** Any number that no other user of the database takes; the same in every process of Tidings. */
const RETENTION_LOCK = 7_205_769_438;

/** Who tends the log: one process at a time. */
@Injectable()
export class RetentionLock {
  constructor(private readonly postgres: PostgresClient) {}

  /**
   * Runs with a connection of its own. Locks that it takes are lost with it, together with whatever
   * was under way, and cannot outlive it in a pool.
   */
  async connected<T>(run: (session: Session) => Promise<T>): Promise<T> {
    const session = this.postgres.createClient();
    // The query that is under way fails, and tells; without a listener the process would end.
    session.on('error', () => undefined);
    try {
      await session.connect();
      return await run(session);
    } finally {
      await session.end().catch(() => undefined);
    }
  }

  /** Takes the lock for as long as the connection lives. @returns false if another process has it */
  async tryTake(session: Session): Promise<boolean> {
    const { rows } = await session.query<{ isTaken: boolean }>(
      `SELECT pg_try_advisory_lock(${RETENTION_LOCK}) AS "isTaken"`,
    );
    return rows[0]!.isTaken;
  }

  /** The same, after whoever has it now. @throws if that takes longer than so many milliseconds */
  async take(session: Session, patienceMs: number): Promise<void> {
    await session.query(`SET lock_timeout = ${patienceMs}`);
    await session.query(`SELECT pg_advisory_lock(${RETENTION_LOCK})`);
    await session.query(`RESET lock_timeout`);
  }
}

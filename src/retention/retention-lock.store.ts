import { Injectable } from '@nestjs/common';
import { PostgresClient } from '../database/postgres.client.js';

/** A connection that holds the lock of retention. */
export type Session = ReturnType<PostgresClient['createClient']>;

/** Any number that no other user of the database takes; the same on every node. */
const RETENTION_LOCK = 7_205_769_438;

/** Retention runs on one node at a time: the one whose connection has the advisory lock. */
@Injectable()
export class RetentionLock {
  constructor(private readonly postgres: PostgresClient) {}

  /**
   * Runs with a connection of its own. Locks end with the connection and with the statement that was
   * running; in a pool they could outlive it.
   */
  async connected<T>(run: (session: Session) => Promise<T>): Promise<T> {
    const session = this.postgres.createClient();
    // The running query fails and reports it; without a listener the process would end.
    session.on('error', () => undefined);
    try {
      await session.connect();
      return await run(session);
    } finally {
      await session.end().catch(() => undefined);
    }
  }

  /** Takes the lock for as long as the connection lives. @returns false if another node has it */
  async tryTake(session: Session): Promise<boolean> {
    const { rows } = await session.query<{ isTaken: boolean }>(
      `SELECT pg_try_advisory_lock(${RETENTION_LOCK}) AS "isTaken"`,
    );
    return rows[0]!.isTaken;
  }

  /** Waits for the lock. @throws if that takes longer than `timeoutMs` */
  async take(session: Session, timeoutMs: number): Promise<void> {
    await session.query(`SET lock_timeout = ${timeoutMs}`);
    await session.query(`SELECT pg_advisory_lock(${RETENTION_LOCK})`);
    await session.query(`RESET lock_timeout`);
  }
}

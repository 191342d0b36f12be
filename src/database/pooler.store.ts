import type { DataSource, QueryRunner } from 'typeorm';
import { DatabaseStartError } from './database-start.js';
import type { Client } from './postgres.driver.js';
import { roleSetup } from './session.statements.js';

/** A pooler gives a connection that is free to the next one that asks; another client may be faster. */
const TRIES = 5;

const BACKEND = 'SELECT pg_backend_pid() AS pid';

/**
 * Whether two connections share one session of the server: a pooler in transaction mode. What is
 * bound to a session (`LISTEN`, advisory locks, settings) gets lost in it.
 */
export async function sharesSessions(dataSource: DataSource): Promise<boolean> {
  const runners = [dataSource.createQueryRunner(), dataSource.createQueryRunner()] as const;
  try {
    const client = (await runners[0].connect()) as Client;
    if (!client.isPooled) return false;
    for (let tries = 0; tries < TRIES; tries++) {
      const [one, other] = [await backendOf(runners[0]), await backendOf(runners[1])];
      if (one === other) return true;
    }
    return false;
  } finally {
    await Promise.all(runners.map((runner) => runner.release()));
  }
}

async function backendOf(runner: QueryRunner): Promise<number | undefined> {
  const [row] = (await runner.query(BACKEND)) as { pid: number }[];
  return row?.pid;
}

export const needsDirectUrl = (): DatabaseStartError =>
  new DatabaseStartError(
    'DATABASE_URL leads to a pooler in transaction mode, in which notifications and locks get lost.\n' +
      'Set DATABASE_DIRECT_URL to the address of PostgreSQL itself, or use session mode.',
  );

/** Stores our settings with the role, for sessions that the pooler opens. */
export async function storeRoleSettings(
  direct: DataSource,
  statementTimeoutMs: number,
): Promise<void> {
  await direct.query(roleSetup(statementTimeoutMs, undefined));
}

import { randomBytes } from 'node:crypto';
import { Client } from 'pg';
import { inject } from 'vitest';

export { startRedisServer, type RedisServer } from './redis-server.js';

/** A database of its own for a test file or a test. */
export interface TestDatabase {
  /** For `pg`, for TypeORM's `url` and for `DATABASE_URL`. */
  readonly url: string;
  /** The same in parts; `host` may be the directory of a Unix socket. */
  readonly connection: {
    host: string;
    port: number;
    user: string;
    password?: string;
    database: string;
  };
  /** Ends all connections to the database and removes it. */
  drop(): Promise<void>;
}

/** Creates a database that has the current schema, as the migrations leave it. */
export function createDatabase(): Promise<TestDatabase> {
  return databaseFrom(`TEMPLATE ${inject('templates').migrated} STRATEGY FILE_COPY`);
}

/** Creates a database in which the product has started before: it starts in half the time. */
export function createStartedDatabase(): Promise<TestDatabase> {
  return databaseFrom(`TEMPLATE ${inject('templates').started} STRATEGY FILE_COPY`);
}

/** Creates a database without tables, for tests of the migrations or of a schema of their own. */
export function createEmptyDatabase(): Promise<TestDatabase> {
  return databaseFrom('');
}

async function databaseFrom(template: string): Promise<TestDatabase> {
  const name = `tidings_test_${randomBytes(8).toString('hex')}`;
  await administer(`CREATE DATABASE ${name} ${template}`);
  const url = new URL(inject('postgresAdminUrl'));
  url.pathname = `/${name}`;
  const { host, port, user = '', password } = new Client({ connectionString: url.href });
  return {
    url: url.href,
    connection: { host, port, user, ...(password ? { password } : {}), database: name },
    drop: () => administer(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`),
  };
}

/** The Redis of the run. Tests that break it start one of their own: {@link startRedisServer}. */
export function redisUrl(): string {
  return inject('redisUrl');
}

async function administer(statement: string): Promise<void> {
  const client = new Client({ connectionString: inject('postgresAdminUrl') });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}

import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { DataSource } from 'typeorm';
import type { TestProject } from 'vitest/node';
import { dataSourceOptions } from '../../src/database/data-source.options.js';
import { startEmbeddedPostgres } from '../../src/embedded-postgres/embedded-postgres.supervisor.js';
import { migrateUnderLock } from '../../src/database/migrate.store.js';
import { PostgresClient } from '../../src/database/postgres.client.js';
import { PostgresServer } from './postgres-server.js';
import { startRedisServer } from './redis-server.js';
import { retentionOf } from './retention-of.js';

declare module 'vitest' {
  export interface ProvidedContext {
    /** URL of a PostgreSQL whose user may create databases. */
    postgresAdminUrl: string;
    /** Names of databases with the current schema, to copy. */
    templates: Templates;
    /** URL of a Redis that the tests may write to. */
    redisUrl: string;
  }
}

interface Templates {
  /** Only migrated. */
  migrated: string;
  /** As after a start of the product: with the partitions of the coming days. */
  started: string;
}

interface Store {
  url: string;
  stop(): Promise<void>;
}

/** The stores of a whole run: those of `DATABASE_URL` and `REDIS_URL`, or real ones that end with it. */
export default async function setup(
  project: TestProject,
  major?: number,
): Promise<() => Promise<void>> {
  const { DATABASE_URL, REDIS_URL } = process.env;
  const starts = await Promise.allSettled([
    major !== undefined
      ? startSystemPostgres(project.vitest.config.maxWorkers, major)
      : DATABASE_URL
        ? given(DATABASE_URL)
        : startPostgres(project.vitest.config.maxWorkers),
    REDIS_URL ? given(REDIS_URL) : startRedisServer(),
  ]);
  const stores = starts.filter((start) => start.status === 'fulfilled').map(({ value }) => value);
  const teardown = async () => void (await Promise.all(stores.map((store) => store.stop())));
  const [postgres, redis] = stores;
  if (!postgres || !redis) {
    await teardown();
    throw starts.find((start) => start.status === 'rejected')?.reason;
  }
  project.provide('postgresAdminUrl', postgres.url);
  project.provide('redisUrl', redis.url);
  const templates = {
    migrated: `tidings_migrated_${process.pid}`,
    started: `tidings_started_${process.pid}`,
  };
  project.provide('templates', templates);
  try {
    await createTemplates(postgres.url, templates);
  } catch (error) {
    await teardown();
    throw error;
  }
  return async () => {
    try {
      await administer(postgres.url, Object.values(templates).map(drop));
    } finally {
      await teardown();
    }
  };
}

const drop = (name: string) => `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`;

/** Prepares databases to copy, because a copy is faster than migrations and partitions. */
async function createTemplates(adminUrl: string, { migrated, started }: Templates): Promise<void> {
  // An interrupted run with the same process id may have left some.
  await administer(adminUrl, [drop(migrated), drop(started), `CREATE DATABASE ${migrated}`]);
  await withDataSource(adminUrl, migrated, migrateUnderLock);
  await administer(adminUrl, [`CREATE DATABASE ${started} TEMPLATE ${migrated}`]);
  await withDataSource(adminUrl, started, (dataSource) =>
    retentionOf(new PostgresClient(dataSource)).prepare(Date.now()),
  );
  // PostgreSQL copies no database that has connections.
  const closed = [migrated, started].map(
    (name) => `ALTER DATABASE ${name} ALLOW_CONNECTIONS false`,
  );
  await administer(adminUrl, closed);
}

async function withDataSource(
  adminUrl: string,
  database: string,
  work: (dataSource: DataSource) => Promise<unknown>,
): Promise<void> {
  const url = new URL(adminUrl);
  url.pathname = `/${database}`;
  const dataSource = await new DataSource(dataSourceOptions({ url: url.href })).initialize();
  try {
    await work(dataSource);
  } finally {
    await dataSource.destroy();
  }
}

async function administer(adminUrl: string, statements: string[]): Promise<void> {
  const client = new Client({ connectionString: adminUrl });
  await client.connect();
  try {
    for (const statement of statements) await client.query(statement);
  } finally {
    await client.end();
  }
}

function given(url: string): Store {
  return { url, stop: () => Promise.resolve() };
}

const PREFIX = 'tidings-test-stores-';

/** Removes the data of interrupted runs, whose servers have ended with them. */
async function removeLeftovers(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    if (!name.startsWith(PREFIX)) continue;
    const pid = Number.parseInt(name.slice(PREFIX.length), 10);
    if (isRunning(pid)) continue;
    // Directories of other users cannot be removed.
    await rm(join(tmpdir(), name), { recursive: true, force: true }).catch(() => undefined);
  }
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

async function startPostgres(workers: number): Promise<Store> {
  await removeLeftovers();
  const dataDir = await mkdtemp(join(tmpdir(), `${PREFIX}${process.pid}-`));
  const remove = () => rm(dataDir, { recursive: true, force: true });
  try {
    // When root runs the tests, the server runs as another user, which needs access.
    await chmod(dataDir, 0o755);
    const postgres = await startEmbeddedPostgres({ dataDir, settings: disposable(workers) });
    const { host, port, user, database } = postgres.connection;
    return {
      // The URL needs a host; the parameter `host`, which has the socket, overrides it.
      url: `postgres://${user}@localhost:${port}/${database}?host=${encodeURIComponent(host)}`,
      stop: () => postgres.stop().then(remove),
    };
  } catch (error) {
    await remove();
    throw error;
  }
}

/** @param major of a PostgreSQL that the system has */
async function startSystemPostgres(workers: number, major: number): Promise<Store> {
  const server = await PostgresServer.create({ major, settings: disposable(workers) });
  return { url: server.url, stop: () => server.remove() };
}

/** Without persistence; several processes of Tidings share it. */
const disposable = (workers: number) => ({
  fsync: 'off',
  synchronous_commit: 'off',
  full_page_writes: 'off',
  // No replication either: with less WAL, a new database takes half the time.
  wal_level: 'minimal',
  max_wal_senders: '0',
  max_connections: String(150 * workers),
});

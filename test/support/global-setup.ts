import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { startEmbeddedPostgres } from '../../src/embedded-postgres/embedded-postgres.supervisor.js';
import { startRedisServer } from './redis-server.js';

declare module 'vitest' {
  export interface ProvidedContext {
    /** A PostgreSQL whose user may create databases. */
    postgresAdminUrl: string;
    /** A Redis that the tests may fill. */
    redisUrl: string;
  }
}

interface Store {
  url: string;
  stop(): Promise<void>;
}

/** The stores of a whole run: those of `DATABASE_URL` and `REDIS_URL`, or real ones that end with it. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const { DATABASE_URL, REDIS_URL } = process.env;
  const starts = await Promise.allSettled([
    DATABASE_URL ? given(DATABASE_URL) : startPostgres(),
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
  return teardown;
}

function given(url: string): Store {
  return { url, stop: () => Promise.resolve() };
}

const PREFIX = 'tidings-test-stores-';

/** The data of runs that were interrupted: their server ended with them, without a last word from us. */
async function removeLeftovers(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    if (!name.startsWith(PREFIX)) continue;
    const pid = Number.parseInt(name.slice(PREFIX.length), 10);
    if (isRunning(pid)) continue;
    // Another user's stay.
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

async function startPostgres(): Promise<Store> {
  await removeLeftovers();
  const dataDir = await mkdtemp(join(tmpdir(), `${PREFIX}${process.pid}-`));
  const remove = () => rm(dataDir, { recursive: true, force: true });
  try {
    // Root's server runs as another user, who has to pass.
    await chmod(dataDir, 0o755);
    const postgres = await startEmbeddedPostgres({ dataDir, settings: DISPOSABLE });
    const { host, port, user, database } = postgres.connection;
    return {
      // With a host that the URL standard accepts too; the parameter wins over it.
      url: `postgres://${user}@localhost:${port}/${database}?host=${encodeURIComponent(host)}`,
      stop: () => postgres.stop().then(remove),
    };
  } catch (error) {
    await remove();
    throw error;
  }
}

/** Nothing of it is kept, and several processes of Tidings share it. */
const DISPOSABLE = {
  fsync: 'off',
  synchronous_commit: 'off',
  full_page_writes: 'off',
  max_connections: '300',
};

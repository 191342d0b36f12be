import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Client } from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import {
  type EmbeddedPostgres,
  type EmbeddedPostgresOptions,
  startEmbeddedPostgres,
} from '../../src/embedded-postgres/embedded-postgres.supervisor.js';

const SUPERVISOR = fileURLToPath(
  new URL('../../src/embedded-postgres/embedded-postgres.supervisor.ts', import.meta.url),
);
const QUICK = { fsync: 'off' };
const WAIT = { timeout: 15_000, interval: 20 };

const directories: string[] = [];
const servers: EmbeddedPostgres[] = [];
const children: ChildProcess[] = [];

async function directory(parent = tmpdir(), mode = 0o755): Promise<string> {
  const created = await mkdtemp(join(parent, 'tidings-test-'));
  directories.push(created);
  await chmod(created, mode);
  return created;
}

async function start(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const server = await startEmbeddedPostgres({ settings: QUICK, retryMs: 20, ...options });
  servers.push(server);
  return server;
}

/** Another process of ours with a server on the data directory. */
async function startInAnotherProcess(dataDir: string): Promise<ChildProcess> {
  const script = `
    import { runnerImport } from 'vite';
    const { module } = await runnerImport(${JSON.stringify(SUPERVISOR)});
    await module.startEmbeddedPostgres(${JSON.stringify({ dataDir, settings: QUICK })});
    setInterval(() => {}, 1000);
    console.log('started');`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  const [line] = (await Promise.race([
    once(createInterface({ input: child.stdout }), 'line'),
    once(child, 'exit'),
  ])) as unknown[];
  expect(line).toBe('started');
  return child;
}

async function killNode(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL');
  await once(child, 'exit');
}

async function query(server: EmbeddedPostgres, sql: string): Promise<unknown> {
  const client = new Client(server.connection);
  // The connections of a server that a test kills.
  client.on('error', () => undefined);
  await client.connect();
  try {
    const { rows } = await client.query<{ value: unknown }>(sql);
    return rows[0]?.value;
  } finally {
    await client.end();
  }
}

const lockFile = (dataDir: string) => join(dataDir, 'postgres', 'postmaster.pid');

async function postmasterPid(dataDir: string): Promise<number> {
  return Number.parseInt(await readFile(lockFile(dataDir), 'utf8'), 10);
}

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.stop()));
  children.splice(0).forEach((child) => child.kill('SIGKILL'));
});

afterAll(async () => {
  await Promise.all(directories.map((path) => rm(path, { recursive: true, force: true })));
});

describe('an embedded PostgreSQL', () => {
  let dataDir: string;

  beforeAll(async () => {
    dataDir = await directory();
  });

  test('starts where there is no data, durable and on a Unix socket only', async () => {
    const server = await start({ dataDir, settings: {} });

    expect(await query(server, `SELECT current_setting('listen_addresses') AS value`)).toBe('');
    expect(await query(server, `SELECT current_setting('fsync') AS value`)).toBe('on');
    expect(await query(server, `SELECT current_setting('synchronous_commit') AS value`)).toBe('on');
    expect(await query(server, `SELECT current_setting('server_encoding') AS value`)).toBe('UTF8');
    expect(await readdir(dataDir)).toEqual(['postgres']);
  });

  test('keeps its data over a stop, which may be asked for twice', async () => {
    const first = await start({ dataDir });
    await query(first, `CREATE TABLE kept AS SELECT 'here' AS value`);
    await Promise.all([first.stop(), first.stop()]);
    expect(existsSync(lockFile(dataDir))).toBe(false);

    const second = await start({ dataDir });

    expect(await query(second, 'SELECT value FROM kept')).toBe('here');
  });

  test('is started again after a crash, and says so', async () => {
    const lines: string[] = [];
    const log: EmbeddedPostgresOptions['log'] = (line, level) => {
      if (level === 'error') lines.push(line);
    };
    const server = await start({ dataDir, log });
    const pid = await postmasterPid(dataDir);

    process.kill(pid, 'SIGKILL');

    await vi.waitUntil(() => lines.some((line) => line.includes('unexpectedly')), WAIT);
    const value = await vi.waitFor(() => query(server, 'SELECT 1 AS value'), WAIT);
    expect(value).toBe(1);
    expect(await postmasterPid(dataDir)).not.toBe(pid);
  });

  test('can be stopped while it is being started again', async () => {
    let crashed = false;
    const server = await start({ dataDir, log: () => (crashed = true) });
    crashed = false;
    process.kill(await postmasterPid(dataDir), 'SIGKILL');
    await vi.waitUntil(() => crashed, WAIT);

    await server.stop();

    // A connection that was still queued at the socket is reset; after that there is none.
    const refused = () =>
      expect(query(server, 'SELECT 1 AS value')).rejects.toThrow(/ECONNREFUSED|ENOENT/);
    await vi.waitFor(refused, WAIT);
  });

  test('refuses data that another process serves, and names that process', async () => {
    const other = await startInAnotherProcess(dataDir);

    await expect(start({ dataDir })).rejects.toThrow(
      `already served by another Tidings process (pid ${other.pid})`,
    );
  });

  test('starts at once after kill -9 of the process that had it', async () => {
    await killNode(await startInAnotherProcess(dataDir));

    const server = await start({ dataDir });

    expect(await query(server, 'SELECT value FROM kept')).toBe('here');
  });

  test.runIf(existsSync('/usr/bin/setpriv'))('ends with its process, even by kill -9', async () => {
    const other = await startInAnotherProcess(dataDir);
    expect(existsSync(lockFile(dataDir))).toBe(true);

    await killNode(other);

    await vi.waitUntil(() => !existsSync(lockFile(dataDir)), WAIT);
  });

  test('starts when both it and its process were killed', async () => {
    const other = await startInAnotherProcess(dataDir);
    process.kill(await postmasterPid(dataDir), 'SIGKILL');
    await killNode(other);

    const server = await start({ dataDir });

    expect(await query(server, 'SELECT value FROM kept')).toBe('here');
  });

  test('takes a lock file for stale when its process id now belongs to another program', async () => {
    const socketLock = join(dataDir, 'postgres', '.s.PGSQL.5432.lock');
    await writeFile(lockFile(dataDir), `${process.pid}\n`, { mode: 0o666 });
    await writeFile(socketLock, `${process.pid}\n`, { mode: 0o666 });

    const server = await start({ dataDir });

    expect(await query(server, 'SELECT value FROM kept')).toBe('here');
  });
});

describe('the data directory', () => {
  test('is made anew when an earlier start left only a part of it', async () => {
    const dataDir = await directory();
    const { pid: gone } = spawn('true');
    await mkdir(join(dataDir, `postgres.initdb-${gone}-00000000`, 'base'), { recursive: true });
    await mkdir(join(dataDir, 'postgres', 'base'), { recursive: true });
    await writeFile(join(dataDir, 'postgres', 'PG_VERSION'), '18\n');

    const server = await start({ dataDir });

    expect(await query(server, 'SELECT 1 AS value')).toBe(1);
    expect(await readdir(dataDir)).toEqual([
      'postgres',
      expect.stringMatching(/^postgres\.unfinished-/),
    ]);
  });

  test('has one winner when two processes start on it at the same time', async () => {
    const dataDir = await directory();

    const starts = await Promise.allSettled([start({ dataDir }), start({ dataDir })]);

    const refusals = starts.filter((result) => result.status === 'rejected');
    expect(refusals.map(({ reason }) => String(reason))).toEqual([
      expect.stringContaining('already served by another Tidings process'),
    ]);
    expect(await readdir(dataDir)).toEqual(['postgres']);
  });

  test('of another major version is not touched', async () => {
    const dataDir = await directory();
    await mkdir(join(dataDir, 'postgres', 'global'), { recursive: true });
    await writeFile(join(dataDir, 'postgres', 'PG_VERSION'), '8\n');
    await writeFile(join(dataDir, 'postgres', 'global', 'pg_control'), '');

    await expect(start({ dataDir })).rejects.toThrow(/made by PostgreSQL 8[^]*DATABASE_URL/);

    expect(await readdir(join(dataDir, 'postgres'))).toEqual(['PG_VERSION', 'global']);
  });

  test('may have a path too long for a socket', async () => {
    const dataDir = join(await directory(), 'x'.repeat(120));

    const server = await start({ dataDir });

    expect(await query(server, 'SELECT 1 AS value')).toBe(1);
    await server.stop();
    expect(existsSync(server.connection.host)).toBe(false);
  });

  test.runIf(process.getuid?.() === 0)(
    'may lie below a directory that only root can enter',
    async () => {
      const dataDir = join(await directory(homedir(), 0o700), '.tidings');

      const server = await start({ dataDir });
      await query(server, `CREATE TABLE kept AS SELECT 'here' AS value`);
      await server.stop();

      const again = await start({ dataDir });
      expect(await query(again, 'SELECT value FROM kept')).toBe('here');
    },
  );
});

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, mkdir, mkdtemp, rename, rm, symlink } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { createDataDirectory } from '../../src/embedded-postgres/data-directory.service.js';
import {
  launchCommand,
  type LaunchMode,
  serverArguments,
  socketFile,
  SUPERUSER,
} from '../../src/embedded-postgres/postgres-command.js';
import {
  chooseLaunchMode,
  ENVIRONMENT,
  findBinaries,
} from '../../src/embedded-postgres/postgres-programs.service.js';

const run = promisify(execFile);

const READY_MS = 20_000;

/**
 * A real PostgreSQL that tests may break: it restarts only when they start it, and commits are as
 * durable as in production. Ends with this process, whatever ends it.
 */
export class PostgresServer {
  private child: ChildProcess | undefined;
  private readonly socketDirectory: string;

  private constructor(
    private readonly root: string,
    private readonly program: string,
    private readonly mode: LaunchMode,
    private readonly settings: Readonly<Record<string, string>>,
  ) {
    this.socketDirectory = join(root, 'socket');
  }

  /**
   * Creates its data directory and starts it.
   * @param options.parent where its data directory is created
   * @param options.dataDisk a directory on another file system for the data, without the write-ahead
   *   log, so that the server survives when that disk is full
   * @param options.settings server settings that replace the defaults
   * @param options.major of the system's PostgreSQL; else the embedded one
   */
  static async create(
    options: {
      parent?: string;
      dataDisk?: string;
      settings?: Readonly<Record<string, string>>;
      major?: number;
    } = {},
  ): Promise<PostgresServer> {
    const root = await mkdtemp(join(options.parent ?? tmpdir(), 'tidings-postgres-'));
    // When root runs the tests, the server runs as another user, which needs access.
    await chmod(root, 0o755);
    const { postgres, initdb } = await findBinaries(options.major);
    const mode = await chooseLaunchMode(postgres, root);
    await createDataDirectory(join(root, 'data'), initdb, mode);
    if (options.dataDisk) await moveData(root, options.dataDisk);
    const server = new PostgresServer(root, postgres, mode, options.settings ?? {});
    await mkdir(server.socketDirectory);
    if (mode.account) {
      await chown(server.socketDirectory, mode.account.uid, mode.account.gid);
    }
    await server.start();
    return server;
  }

  /** Its Unix socket, the only address that it listens on. */
  get socket(): string {
    return socketFile(this.socketDirectory);
  }

  /** For `DATABASE_URL`, of the database of administrators. */
  get url(): string {
    // The URL needs a host; the parameter `host`, which has the socket, overrides it.
    const host = encodeURIComponent(this.socketDirectory);
    return `postgres://${SUPERUSER}@localhost/postgres?host=${host}`;
  }

  /** Starts it again; waits until it accepts connections. */
  async start(): Promise<void> {
    const args = serverArguments(
      join(this.root, 'data'),
      this.socketDirectory,
      process.pid,
      this.settings,
    );
    const { file, args: all, ...account } = launchCommand(this.mode, this.program, args);
    const child = spawn(file, all, {
      ...account,
      cwd: '/',
      env: ENVIRONMENT,
      detached: true,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.child = child;
    process.once('exit', this.endWithProcess);
    await readiness(child);
    child.unref();
    (child.stderr as Readable & { unref(): void }).unref();
  }

  /** `immediate`: without a checkpoint, like a power failure; `fast`: an orderly shutdown. */
  async stop(how: 'immediate' | 'fast' = 'fast'): Promise<void> {
    const { child } = this;
    process.removeListener('exit', this.endWithProcess);
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    child.ref();
    child.kill(how === 'immediate' ? 'SIGQUIT' : 'SIGINT');
    await once(child, 'exit');
  }

  /** A direct connection for the tests, without a proxy. The caller ends it. */
  async connect(database = 'postgres'): Promise<Client> {
    const client = new Client({
      host: this.socketDirectory,
      user: SUPERUSER,
      database,
      application_name: 'tests',
    });
    // The tests stop the server on purpose; the error must not end this process.
    client.on('error', () => undefined);
    await client.connect();
    return client;
  }

  async createDatabase(name: string): Promise<void> {
    const client = await this.connect();
    await client.query(`CREATE DATABASE ${name}`);
    await client.end();
  }

  /** Stops it and removes its data. */
  async remove(): Promise<void> {
    await this.stop('immediate');
    await rm(this.root, { recursive: true, force: true });
  }

  private readonly endWithProcess = () => this.child?.kill('SIGQUIT');
}

function readiness(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    const lines: string[] = [];
    const fail = (why: string) =>
      reject(new Error(`PostgreSQL did not start (${why}):\n${lines.join('\n')}`));
    const killTimer = setTimeout(() => fail('no answer'), READY_MS);
    createInterface({ input: child.stderr! }).on('line', (line) => {
      lines.push(line);
      if (lines.length > 50) lines.shift();
      if (!line.includes('ready to accept connections')) return;
      clearTimeout(killTimer);
      resolve();
    });
    child.once('error', (error) => fail(error.message));
    child.once('close', (code) => fail(`code ${code}`));
  });
}

/** Moves everything but `pg_wal`, and leaves symbolic links. */
async function moveData(root: string, disk: string): Promise<void> {
  const [data, moved] = [join(root, 'data'), join(disk, 'data')];
  await rename(join(data, 'pg_wal'), join(root, 'wal'));
  await symlink(join(root, 'wal'), join(data, 'pg_wal'));
  await run('cp', ['-a', data, moved]);
  await rm(data, { recursive: true });
  await symlink(moved, data);
}

import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, realpath, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import {
  createDataDirectory,
  inspectDataDirectory,
  prepareSocketDirectory,
} from './data-directory.service.js';
import {
  EmbeddedPostgresError,
  launchCommand,
  PORT,
  serverArguments,
  SUPERUSER,
  type LaunchCommand,
} from './postgres-command.js';
import { chooseLaunchMode, ENVIRONMENT, findBinaries } from './postgres-programs.service.js';
import { waitUntilFree } from './postmaster-lock.service.js';

/** How long a start waits for the server of an earlier run to end. */
const START_TIMEOUT_MS = 10_000;
const RETRY_MS = 250;
/** Waits between restarts double up to this. */
const MAX_RESTART_DELAY_MS = 10_000;
/** After a server has run this long, its next crash is counted from one again. */
const HEALTHY_AFTER_MS = 60_000;
/** A fast shutdown that takes longer becomes an immediate one; the next start recovers from the log. */
const SHUTDOWN_MS = 10_000;
const KEPT_LINES = 20;

/** Errors while the processes of a killed server still end. */
const TRANSIENT = /lock file ".*" already exists|pre-existing shared memory block/;

type Postmaster = ChildProcessByStdio<null, null, Readable>;

export interface EmbeddedPostgresOptions {
  /** Tidings' data directory; the database lives in `postgres` below it. Created when missing. */
  dataDir: string;
  /** Gets `error` when the server ends unexpectedly, `log` for our own actions, `debug` for its log. */
  log?: (line: string, level: 'error' | 'log' | 'debug') => void;
  /** Server settings that replace the defaults, e.g. `{ fsync: 'off' }` for tests. */
  settings?: Readonly<Record<string, string>>;
  /** Milliseconds before a start is repeated, after a crash or while an earlier server ends. */
  retryMs?: number;
}

/** A PostgreSQL that belongs to this process and ends with it. */
export interface EmbeddedPostgres {
  /** `host` is the directory of a Unix socket, which `pg` and TypeORM accept; there is no password. */
  readonly connection: { host: string; port: number; user: string; database: string };
  /** Disconnects every client, shuts the server down and waits for its end. May be called again. */
  stop(): Promise<void>;
}

/**
 * Starts a PostgreSQL on a Unix socket, with the data of the last run if there is any. It is started
 * again after a crash. Call this from the main thread: the server ends with the thread that started it.
 * @throws EmbeddedPostgresError with the remedy in its message
 */
export async function startEmbeddedPostgres(
  options: EmbeddedPostgresOptions,
): Promise<EmbeddedPostgres> {
  const log = options.log ?? (() => undefined);
  await mkdir(options.dataDir, { recursive: true });
  const parent = await realpath(options.dataDir);
  const directory = join(parent, 'postgres');

  const existing = await inspectDataDirectory(directory, (line) => log(line, 'log'));
  const binaries = await findBinaries(existing?.major);
  const mode = await chooseLaunchMode(binaries.postgres, existing ? directory : parent, existing);
  if (!existing) await createDataDirectory(directory, binaries.initdb, mode);
  const socketDirectory = await prepareSocketDirectory(directory, mode.account);

  const args = serverArguments(directory, socketDirectory, process.pid, options.settings);
  const command = launchCommand(mode, binaries.postgres, args);
  const supervisor = new EmbeddedPostgresSupervisor(
    command,
    directory,
    socketDirectory,
    log,
    options.retryMs ?? RETRY_MS,
  );
  await supervisor.start();
  return supervisor;
}

class EmbeddedPostgresSupervisor implements EmbeddedPostgres {
  readonly connection;
  private readonly stopping = new AbortController();
  private readonly endWithProcess = () => this.postmaster?.kill('SIGINT');
  private postmaster?: Postmaster;
  private supervision?: Promise<void>;
  private stopped?: Promise<void>;

  constructor(
    private readonly command: LaunchCommand,
    private readonly dataDirectory: string,
    private readonly socketDirectory: string,
    private readonly log: NonNullable<EmbeddedPostgresOptions['log']>,
    private readonly retryMs: number,
  ) {
    this.connection = { host: socketDirectory, port: PORT, user: SUPERUSER, database: 'postgres' };
  }

  async start(): Promise<void> {
    process.once('exit', this.endWithProcess);
    try {
      await this.launchWithRetries();
    } catch (error) {
      process.removeListener('exit', this.endWithProcess);
      throw error;
    }
    this.supervision = this.supervise();
  }

  stop(): Promise<void> {
    return (this.stopped ??= this.shutDown());
  }

  private async shutDown(): Promise<void> {
    this.stopping.abort();
    process.removeListener('exit', this.endWithProcess);
    if (this.postmaster) await end(this.postmaster);
    await this.supervision;
    if (this.socketDirectory !== this.dataDirectory) {
      await rmdir(this.socketDirectory).catch(() => undefined);
    }
  }

  private async launchWithRetries(): Promise<void> {
    const deadline = Date.now() + START_TIMEOUT_MS;
    for (;;) {
      try {
        return await this.launch();
      } catch (error) {
        if (!TRANSIENT.test((error as Error).message) || Date.now() > deadline) throw error;
        await delay(this.retryMs);
      }
    }
  }

  /** Resolves when the server accepts connections, rejects with its last log lines when it ends before. */
  private async launch(): Promise<void> {
    await waitUntilFree(this.dataDirectory, this.socketDirectory, START_TIMEOUT_MS);
    this.stopping.signal.throwIfAborted();
    const { file, args, ...account } = this.command;
    const postmaster = spawn(file, args, {
      ...account,
      cwd: '/',
      env: ENVIRONMENT,
      // Ctrl-C goes to the whole process group; the server has to outlive the last query.
      detached: true,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.postmaster = postmaster;
    await this.readiness(postmaster);
    // The server alone does not keep the process alive.
    postmaster.unref();
    (postmaster.stderr as Readable & { unref(): void }).unref();
  }

  private readiness(postmaster: Postmaster): Promise<void> {
    return new Promise((resolve, reject) => {
      const lines: string[] = [];
      createInterface({ input: postmaster.stderr }).on('line', (line) => {
        this.log(line, line.includes('PANIC:') ? 'error' : 'debug');
        if (lines.push(line) > KEPT_LINES) lines.shift();
        if (line.includes('ready to accept connections')) resolve();
      });
      postmaster.on('error', reject);
      postmaster.once('close', (code, signal) =>
        reject(
          new EmbeddedPostgresError(
            `The embedded PostgreSQL did not start (${signal ?? `code ${code}`}):\n${lines.join('\n')}`,
          ),
        ),
      );
    });
  }

  private async supervise(): Promise<void> {
    let crashes = 0;
    while (this.postmaster) {
      const startedAt = Date.now();
      await ended(this.postmaster);
      if (this.stopping.signal.aborted) return;
      const { exitCode, signalCode } = this.postmaster;
      this.log(
        `The embedded PostgreSQL ended unexpectedly (${signalCode ?? `code ${exitCode}`}); starting it again`,
        'error',
      );
      crashes = Date.now() - startedAt > HEALTHY_AFTER_MS ? 0 : crashes + 1;
      await this.restart(crashes);
    }
  }

  /** Tries until the server runs or is stopped; the product waits for it as for any store outage. */
  private async restart(earlierFailures: number): Promise<void> {
    const { signal } = this.stopping;
    for (let failures = earlierFailures; !signal.aborted; failures += 1) {
      const wait = Math.min(this.retryMs * 2 ** failures, MAX_RESTART_DELAY_MS);
      await delay(wait, undefined, { signal, ref: false }).catch(() => undefined);
      if (signal.aborted) return;
      try {
        await this.launch();
        this.log('The embedded PostgreSQL is running again', 'log');
        return;
      } catch (error) {
        if (!signal.aborted) this.log((error as Error).message, 'error');
      }
    }
  }
}

async function end(postmaster: Postmaster): Promise<void> {
  if (hasEnded(postmaster)) return;
  // Otherwise the process could end while it waits.
  postmaster.ref();
  if (!postmaster.kill('SIGINT')) return;
  const timeout = setTimeout(() => postmaster.kill('SIGQUIT'), SHUTDOWN_MS);
  await ended(postmaster);
  clearTimeout(timeout);
}

async function ended(postmaster: Postmaster): Promise<void> {
  if (!hasEnded(postmaster)) await once(postmaster, 'exit');
}

function hasEnded(postmaster: Postmaster): boolean {
  return (
    postmaster.exitCode !== null || postmaster.signalCode !== null || postmaster.pid === undefined
  );
}

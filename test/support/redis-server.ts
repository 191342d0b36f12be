import { type ChildProcessByStdio, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { access, constants, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { promisify } from 'node:util';

const run = promisify(execFile);

const PROGRAMS = ['redis-server', 'valkey-server'];
const USUAL_PLACES = ['/usr/bin', '/usr/local/bin', '/opt/homebrew/bin'];
const SETPRIV = '/usr/bin/setpriv';
/** Debian asks it before it starts the service of a package; 101 means no (invoke-rc.d(8)). */
const POLICY = '/usr/sbin/policy-rc.d';
/** Between choosing a free port and listening on it another process may take it. */
const PORT_ATTEMPTS = 5;

type RedisProcess = ChildProcessByStdio<null, Readable, null>;

/** A real Redis that belongs to this process, holds its data in memory only and ends with it. */
export interface RedisServer {
  readonly url: string;
  readonly port: number;
  /** Orderly end. May be called after {@link kill}. */
  stop(): Promise<void>;
  /** `kill -9`: connections are cut in the middle of what they do. */
  kill(): Promise<void>;
  /** Keeps every connection open and answers nothing until {@link resume}. */
  pause(): void;
  resume(): void;
}

/**
 * Starts a Redis server on the loopback interface.
 * @param options.port for one that comes back where it was; any free one otherwise
 */
export async function startRedisServer(options: { port?: number } = {}): Promise<RedisServer> {
  const program = await findOrInstallRedis();
  for (let attempt = 1; ; attempt += 1) {
    const port = options.port ?? (await freePort());
    try {
      return await launch(program, port);
    } catch (error) {
      if (options.port !== undefined || attempt === PORT_ATTEMPTS) throw error;
    }
  }
}

async function launch(program: string, port: number): Promise<RedisServer> {
  const address = ['--port', String(port), '--bind', '127.0.0.1'];
  const memoryOnly = ['--appendonly', 'no', '--save', '', '--dir', tmpdir()];
  const child = spawnBound(program, [...address, '--daemonize', 'no', ...memoryOnly]);
  const killWithProcess = () => child.kill('SIGKILL');
  process.once('exit', killWithProcess);
  const end = async (signal: NodeJS.Signals) => {
    if (!hasEnded(child)) {
      child.ref();
      child.kill('SIGCONT');
      child.kill(signal);
      await once(child, 'exit');
    }
    process.removeListener('exit', killWithProcess);
  };
  try {
    await readiness(child);
  } catch (error) {
    await end('SIGKILL');
    throw error;
  }
  child.unref();
  (child.stdout as Readable & { unref(): void }).unref();
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
    pause: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
  };
}

/** In a group of its own, so that Ctrl-C reaches the tests first, and never left behind. */
function spawnBound(program: string, args: string[]): RedisProcess {
  const bound = existsSync(SETPRIV) ? [SETPRIV, '--pdeathsig=KILL', program] : [program];
  const [file = program, ...first] = bound;
  return spawn(file, [...first, ...args], { detached: true, stdio: ['ignore', 'pipe', 'inherit'] });
}

function readiness(child: RedisProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    const lines: string[] = [];
    createInterface({ input: child.stdout }).on('line', (line) => {
      lines.push(line);
      if (/ready to accept connections/i.test(line)) resolve();
    });
    child.once('error', reject);
    child.once('close', (code) =>
      reject(new Error(`redis-server did not start (code ${code}):\n${lines.join('\n')}`)),
    );
  });
}

function hasEnded(child: RedisProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null || child.pid === undefined;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function findOrInstallRedis(): Promise<string> {
  const found = await findRedis();
  if (found) return found;
  if (process.getuid?.() === 0 && existsSync('/etc/debian_version')) {
    await installRedis().catch((error: Error) => {
      throw missing(`Installing Debian's redis-server failed: ${error.message}`);
    });
    const installed = await findRedis();
    if (installed) return installed;
  }
  throw missing('There is no redis-server on this machine.');
}

function missing(reason: string): Error {
  return new Error(
    `The tests need a real Redis. ${reason}\n` +
      'Set REDIS_URL to one that the tests may fill, for example redis://127.0.0.1:6379, ' +
      'or install redis-server (Debian: apt-get install redis-server, macOS: brew install redis).',
  );
}

async function findRedis(): Promise<string | undefined> {
  const places = [...(process.env.PATH ?? '').split(delimiter), ...USUAL_PLACES].filter(Boolean);
  for (const file of PROGRAMS.flatMap((name) => places.map((place) => join(place, name)))) {
    const runs = await access(file, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (runs) return file;
  }
  return undefined;
}

/** Installs the package without starting the service that comes with it. */
async function installRedis(): Promise<void> {
  console.log('redis-server is missing: installing the package of that name');
  const ours = await writeFile(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755, flag: 'wx' }).then(
    () => true,
    () => false,
  );
  try {
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    const wait = ['-o', 'DPkg::Lock::Timeout=120'];
    await run('apt-get', [...wait, 'update'], { env });
    const install = ['install', '-y', '--no-install-recommends', 'redis-server'];
    await run('apt-get', [...wait, ...install], { env, maxBuffer: 64 << 20 });
  } finally {
    if (ours) await rm(POLICY, { force: true });
  }
}

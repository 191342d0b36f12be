import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { freePort } from './free-port.js';
import { findOrInstall, type NeededProgram } from './installed-program.js';

const REDIS: NeededProgram = {
  what: 'a real Redis',
  names: ['redis-server', 'valkey-server'],
  places: ['/usr/bin', '/usr/local/bin', '/opt/homebrew/bin'],
  package: 'redis-server',
  help:
    'Set REDIS_URL to one that the tests may write to, for example redis://127.0.0.1:6379, ' +
    'or install redis-server (Debian: apt-get install redis-server, macOS: brew install redis).',
};
const SETPRIV = '/usr/bin/setpriv';
/** Another process may take a free port before Redis listens on it, so several are tried. */
const PORT_ATTEMPTS = 5;

type RedisProcess = ChildProcessByStdio<null, Readable, null>;

/** A real Redis of this process, without persistence, which ends with it. */
export interface RedisServer {
  readonly url: string;
  readonly port: number;
  /** Orderly shutdown. May be called after {@link kill}. */
  stop(): Promise<void>;
  /** `kill -9`: connections end in the middle of their work. */
  kill(): Promise<void>;
  /** Keeps every connection open and answers nothing until {@link resume}. */
  pause(): void;
  resume(): void;
}

export interface RedisServerOptions {
  /** To start again on the same port; default: any free one. */
  port?: number;
  /** Further settings, as on the command line: `['--user', 'name', 'on', …]`. */
  settings?: readonly string[];
}

/** Starts a Redis server on the loopback interface. */
export async function startRedisServer(options: RedisServerOptions = {}): Promise<RedisServer> {
  const program = await findOrInstall(REDIS);
  for (let attempt = 1; ; attempt += 1) {
    const port = options.port ?? (await freePort());
    try {
      return await launch(program, port, options.settings ?? []);
    } catch (error) {
      if (options.port !== undefined || attempt === PORT_ATTEMPTS) throw error;
    }
  }
}

async function launch(
  program: string,
  port: number,
  settings: readonly string[],
): Promise<RedisServer> {
  const address = ['--port', String(port), '--bind', '127.0.0.1'];
  const memoryOnly = ['--appendonly', 'no', '--save', '', '--dir', tmpdir()];
  const child = spawnBound(program, [...address, '--daemonize', 'no', ...memoryOnly, ...settings]);
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

/** In a process group of its own: Ctrl-C reaches only the tests, which stop it. */
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

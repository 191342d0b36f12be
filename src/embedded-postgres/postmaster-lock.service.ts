import { execFile } from 'node:child_process';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { EmbeddedPostgresError, lockHolder, socketFile, supervisorOf } from './postgres-command.js';

const run = promisify(execFile);

const POLL_MS = 50;

interface ProcessInfo {
  parent: number;
  commandLine: string;
}

/**
 * Makes sure that no server uses the data directory: waits for the end of a server that lost its
 * supervisor, and removes stale lock files whose process id belongs to another program now.
 * @param timeoutMs how long a server that is shutting down may take
 * @throws EmbeddedPostgresError if another process supervises it, or it does not end
 */
export async function waitUntilFree(
  dataDirectory: string,
  socketDirectory: string,
  timeoutMs: number,
): Promise<void> {
  const lock = join(dataDirectory, 'postmaster.pid');
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const pid = await holderOf(lock);
    const info = pid === undefined ? undefined : await processInfo(pid);
    const supervisor = info?.commandLine.includes(dataDirectory)
      ? supervisorOf(info.commandLine)
      : undefined;
    if (pid === undefined || info === undefined || supervisor === undefined) break;
    if (info.parent === supervisor) throw served(dataDirectory, supervisor);
    if (Date.now() > deadline) throw stillEnding(dataDirectory, pid);
    interrupt(pid);
    await delay(POLL_MS);
  }
  await removeIfStale(lock);
  await removeIfStale(`${socketFile(socketDirectory)}.lock`);
}

function served(dataDirectory: string, supervisor: number): EmbeddedPostgresError {
  return new EmbeddedPostgresError(
    `The data in ${dataDirectory} is already served by another Tidings process (pid ${supervisor}). ` +
      'Stop that one, give this one a DATA_DIR of its own, or set DATABASE_URL for both.',
  );
}

function stillEnding(dataDirectory: string, pid: number): EmbeddedPostgresError {
  return new EmbeddedPostgresError(
    `The PostgreSQL of an earlier run (pid ${pid}) still has the data in ${dataDirectory} open. ` +
      'Start again when it has ended.',
  );
}

/** Without `setpriv` the orphan was not signalled yet; with it, a second signal changes nothing. */
function interrupt(pid: number): void {
  try {
    process.kill(pid, 'SIGINT');
  } catch {
    // It has ended, or belongs to another user: the caller checks again.
  }
}

/** PostgreSQL takes any running process for the holder; process ids start again at every boot. */
async function removeIfStale(lock: string): Promise<void> {
  const pid = await holderOf(lock);
  const info = pid === undefined ? undefined : await processInfo(pid);
  if (info && !/postgres|postmaster/.test(info.commandLine)) await rm(lock, { force: true });
}

async function holderOf(lock: string): Promise<number | undefined> {
  return lockHolder(await readFile(lock, 'utf8').catch(() => ''));
}

async function processInfo(pid: number): Promise<ProcessInfo | undefined> {
  return process.platform === 'linux' ? fromProc(pid) : fromPs(pid);
}

async function fromProc(pid: number): Promise<ProcessInfo | undefined> {
  try {
    const [stat, commandLine] = await Promise.all([
      readFile(`/proc/${pid}/stat`, 'utf8'),
      readFile(`/proc/${pid}/cmdline`, 'utf8'),
    ]);
    // The second field is a name in parentheses, which may hold anything (proc(5)).
    const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return state === 'Z' ? undefined : { parent: Number(parent), commandLine };
  } catch {
    return undefined;
  }
}

async function fromPs(pid: number): Promise<ProcessInfo | undefined> {
  try {
    const { stdout } = await run('ps', ['-ww', '-o', 'ppid=,command=', '-p', String(pid)]);
    const [, parent, commandLine = ''] = /^\s*(\d+)\s+(.*)$/m.exec(stdout) ?? [];
    return parent === undefined ? undefined : { parent: Number(parent), commandLine };
  } catch {
    return undefined;
  }
}

import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  access,
  chmod,
  chown,
  lstat,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import {
  EmbeddedPostgresError,
  fittingSocketDirectory,
  initdbArguments,
  launchCommand,
  majorVersion,
  type LaunchMode,
} from './postgres-command.js';
import { ENVIRONMENT } from './postgres-programs.service.js';

export interface ExistingData {
  /** The major version of PostgreSQL that made it. */
  major: number;
  uid: number;
  gid: number;
}

/**
 * Reads what the data directory holds; undefined if there is none yet. An incomplete one holds no data
 * and is moved aside.
 * @throws EmbeddedPostgresError if it belongs to another user
 */
export async function inspectDataDirectory(
  directory: string,
  log: (line: string) => void,
): Promise<ExistingData | undefined> {
  try {
    const { uid, gid } = await stat(directory);
    const version = await readFile(join(directory, 'PG_VERSION'), 'utf8').catch(absentAsEmpty);
    const control = await access(join(directory, 'global', 'pg_control')).then(
      () => true,
      absentAsEmpty,
    );
    const major = majorVersion(version);
    if (major !== undefined && control) return { major, uid, gid };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    throw unreadable(directory, error);
  }
  const aside = `${directory}.unfinished-${randomBytes(4).toString('hex')}`;
  await rename(directory, aside);
  log(`${directory} is not a complete data directory; it was moved to ${aside}`);
  return undefined;
}

function absentAsEmpty(error: NodeJS.ErrnoException): '' {
  if (error.code === 'ENOENT') return '';
  throw error;
}

function unreadable(directory: string, cause: unknown): EmbeddedPostgresError {
  return new EmbeddedPostgresError(
    `The data in ${directory} cannot be read (${(cause as NodeJS.ErrnoException).code}): it was ` +
      'probably made by another user. Start Tidings as that user, or set another DATA_DIR.',
    { cause },
  );
}

/**
 * Creates the data directory under another name and renames it when it is complete, so that an
 * interrupted `initdb` leaves nothing that a later start could mistake for data.
 */
export async function createDataDirectory(
  directory: string,
  initdb: string,
  mode: LaunchMode,
): Promise<void> {
  await removeLeftovers(directory);
  const draft = `${directory}.initdb-${process.pid}-${randomBytes(4).toString('hex')}`;
  await mkdir(draft, { mode: 0o700 });
  try {
    if (mode.account) await chown(draft, mode.account.uid, mode.account.gid);
    await runInitdb(initdb, draft, mode);
    await rename(draft, directory).catch((error: NodeJS.ErrnoException) => {
      // Another process was faster; the lock decides which of the two serves the data.
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
    });
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

async function runInitdb(initdb: string, directory: string, mode: LaunchMode): Promise<void> {
  const { file, args, ...account } = launchCommand(mode, initdb, initdbArguments(directory));
  const child = spawn(file, args, {
    ...account,
    cwd: '/',
    env: ENVIRONMENT,
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const closed = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
  const [stderr, [code, signal]] = await Promise.all([text(child.stderr), closed]);
  if (code !== 0) {
    throw new EmbeddedPostgresError(
      `initdb failed (${String(signal ?? code)}) for ${directory}:\n${stderr.trim()}\n` +
        'Set DATABASE_URL to a server of your own to do without it.',
    );
  }
}

/** Drafts of processes that no longer exist. */
async function removeLeftovers(directory: string): Promise<void> {
  const prefix = `${basename(directory)}.initdb-`;
  for (const name of await readdir(dirname(directory))) {
    const pid = Number(name.slice(prefix.length).split('-')[0]);
    if (!name.startsWith(prefix) || isRunning(pid)) continue;
    await rm(join(dirname(directory), name), { recursive: true, force: true });
  }
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/**
 * The directory of the Unix socket: the data directory, or one with a short name derived from it
 * where the system could not address the socket otherwise.
 * @throws EmbeddedPostgresError if the short one belongs to another user
 */
export async function prepareSocketDirectory(
  dataDirectory: string,
  account = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 },
): Promise<string> {
  const name = `tidings-${createHash('sha256').update(dataDirectory).digest('hex').slice(0, 16)}`;
  const candidates = [dataDirectory, join(tmpdir(), name), join('/tmp', name)];
  const chosen = fittingSocketDirectory(candidates) ?? join('/tmp', name);
  if (chosen === dataDirectory) return chosen;
  await mkdir(chosen, { mode: 0o700 }).then(
    () => chown(chosen, account.uid, account.gid),
    (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    },
  );
  const found = await lstat(chosen);
  if (!found.isDirectory() || found.uid !== account.uid) {
    // The owner of the directory could run another server in the place of ours.
    throw new EmbeddedPostgresError(
      `${chosen} belongs to another user. Remove it, or set a DATA_DIR with a shorter path.`,
    );
  }
  await chmod(chosen, 0o700);
  return chosen;
}

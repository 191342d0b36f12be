import { join } from 'node:path';

/** The embedded PostgreSQL cannot be started; the message says why and what to do about it. */
export class EmbeddedPostgresError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'EmbeddedPostgresError';
  }
}

/** Only the name of the socket file depends on it: nothing listens on TCP. */
export const PORT = 5432;

/** The role that `initdb` creates; the directory modes decide who may use it. */
export const SUPERUSER = 'postgres';

/** Longest path of a Unix socket, without its NUL: 104 bytes on macOS, 108 on Linux (`unix(7)`). */
const MAX_SOCKET_PATH_BYTES = 103;

/** How a program of PostgreSQL is run. */
export interface LaunchMode {
  /** Path of `setpriv`; undefined where the system has none that can do what is needed. */
  setpriv?: string;
  /** The account to change to; undefined keeps the one we have. */
  account?: { uid: number; gid: number };
  /** Let that account pass directories that it may not enter, such as `/root`. */
  overridePermissions: boolean;
}

export interface LaunchCommand {
  file: string;
  args: string[];
  uid?: number;
  gid?: number;
}

/**
 * The command that runs `file` in the given mode. With `setpriv` the program gets SIGINT (PostgreSQL's
 * fast shutdown) when the thread that started it ends, so that not even `kill -9` leaves it behind.
 */
export function launchCommand(mode: LaunchMode, file: string, args: string[]): LaunchCommand {
  const { setpriv, account } = mode;
  if (!setpriv) return { file, args, ...account };
  const identity = account
    ? [`--reuid=${account.uid}`, `--regid=${account.gid}`, '--clear-groups']
    : [];
  // access(2) ignores capabilities of an ordinary user unless no_setuid_fixup is set
  // (capabilities(7)), and PostgreSQL looks for its own files with it.
  const capabilities = mode.overridePermissions
    ? ['--inh-caps=+dac_override', '--ambient-caps=+dac_override', '--securebits=+no_setuid_fixup']
    : [];
  return { file: setpriv, args: [...identity, ...capabilities, '--pdeathsig=INT', file, ...args] };
}

/** Without sync: there is no data yet that a crash could lose. */
export function initdbArguments(directory: string): string[] {
  const encoding = ['-E', 'UTF8', '--locale=C'];
  return ['-D', directory, '-U', SUPERUSER, '--auth=trust', ...encoding, '--no-sync'];
}

const SETTINGS: Readonly<Record<string, string>> = {
  listen_addresses: '',
  max_connections: '100',
  shared_buffers: '128MB',
  timezone: 'UTC',
  logging_collector: 'off',
  log_destination: 'stderr',
  log_checkpoints: 'off',
  // Above ERROR: the sender of a statement gets its errors, and its text may be private.
  log_min_messages: 'log',
};

/** @param settings server settings that go before our own, e.g. `{ fsync: 'off' }` */
export function serverArguments(
  dataDirectory: string,
  socketDirectory: string,
  supervisorPid: number,
  settings: Readonly<Record<string, string>> = {},
): string[] {
  // The last one names the supervising process, so that a later start recognises an orphan.
  const all = { ...SETTINGS, ...settings, 'tidings.supervisor': String(supervisorPid) };
  const flags = Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  return ['-D', dataDirectory, '-p', String(PORT), '-k', socketDirectory, ...flags];
}

/** The supervising process, from the command line of a server; undefined if Tidings did not start it. */
export function supervisorOf(commandLine: string): number | undefined {
  const [, pid] = /tidings\.supervisor=(\d+)/.exec(commandLine) ?? [];
  return pid === undefined ? undefined : Number(pid);
}

/** The first directory whose socket has a path that the system can address. */
export function fittingSocketDirectory(candidates: string[]): string | undefined {
  return candidates.find(
    (directory) => Buffer.byteLength(socketFile(directory)) <= MAX_SOCKET_PATH_BYTES,
  );
}

export function socketFile(directory: string): string {
  return join(directory, `.s.PGSQL.${PORT}`);
}

/** The process named by a lock file (`postmaster.pid`, `.s.PGSQL.5432.lock`); its first line. */
export function lockHolder(content: string): number | undefined {
  const [, pid] = /^(\d+)\s*$/m.exec(content.split('\n', 1)[0] ?? '') ?? [];
  return pid === undefined ? undefined : Number(pid);
}

/** 18 for `postgres (PostgreSQL) 18.4`, the form of `postgres --version`, or for `18`, of `PG_VERSION`. */
export function majorVersion(text: string): number | undefined {
  const [, major] = /(?:^|\) )(\d+)/.exec(text.trim()) ?? [];
  return major === undefined ? undefined : Number(major);
}

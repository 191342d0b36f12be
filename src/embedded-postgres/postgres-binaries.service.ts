import { execFile } from 'node:child_process';
import { readdir, readFile, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { promisify } from 'node:util';
import { EmbeddedPostgresError } from './embedded-postgres-error.js';
import { majorVersion } from './postgres-command.js';

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
    // It exists, or cannot be made: whether the program runs is asked next.
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

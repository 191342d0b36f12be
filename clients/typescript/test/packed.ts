import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const SOURCES = [
  ...['package.json', 'README.md', 'LICENSE', 'src', 'tsconfig.json', 'tsconfig.cjs.json'].map(
    (name) => `clients/typescript/${name}`,
  ),
  'scripts/build-client.mjs',
];

const QUIET = ['--offline', '--no-audit', '--no-fund', '--no-update-notifier'];
/** Packing builds, also when an npm that was given `--ignore-scripts` runs these tests. */
const BUILDS = '--ignore-scripts=false';

/** A project of its own in which the package is installed, as `npm pack` makes it. */
export interface Consumer {
  /** Holds the project and what it was made from; to be removed. */
  root: string;
  project: string;
  /** The installed package. */
  installed: string;
}

/**
 * Packs a copy of the package, so that tests that do so at once have no files in common, and installs
 * it without a network.
 *
 * @param links packages that the project has beside it, from those of this repository
 */
export async function installPacked(links: readonly string[] = []): Promise<Consumer> {
  const root = await mkdtemp(join(tmpdir(), 'tidings-consumer-'));
  const [copy, project] = [join(root, 'repository'), join(root, 'project')];
  await mkdir(project);
  for (const name of SOURCES) await cp(name, join(copy, name), { recursive: true });
  // For the compiler.
  await symlink(resolve('node_modules'), join(copy, 'node_modules'));
  const npm = (cwd: string, ...args: string[]) =>
    run('npm', [...args, '--cache', join(root, 'cache'), ...QUIET], { cwd });
  const { stdout } = await npm(
    join(copy, 'clients/typescript'),
    'pack',
    BUILDS,
    '--pack-destination',
    root,
  );
  const tarball = stdout.trim().split('\n').at(-1)!;
  await writeFile(join(project, 'package.json'), '{"private": true}');
  await npm(project, 'install', join(root, tarball));
  for (const name of links) {
    const link = join(project, 'node_modules', name);
    await mkdir(dirname(link), { recursive: true });
    await symlink(resolve('node_modules', name), link);
  }
  return { root, project, installed: join(project, 'node_modules/@tidings/client') };
}

/** Runs the compiler of this repository. @returns what it complains about */
export async function tsc(...args: string[]): Promise<string> {
  const program = resolve('node_modules/typescript/bin/tsc');
  return run(process.execPath, [program, ...args]).then(
    ({ stdout }) => stdout,
    (error: Error & { stdout?: string }) => error.stdout || error.message,
  );
}

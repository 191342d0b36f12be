import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { access, constants, rm, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Debian runs it before it starts the service of a package; 101 forbids that (invoke-rc.d(8)). */
const POLICY = '/usr/sbin/policy-rc.d';

/** A program that tests need and that no npm package provides. */
export interface NeededProgram {
  /** Completes the sentence `The tests need …`. */
  what: string;
  /** Alternative names; searched on the PATH first. */
  names: readonly string[];
  /** More directories to search. */
  places: readonly string[];
  /** Files to try last. */
  files?: readonly string[];
  /** The Debian package that contains it. */
  package: string;
  /** Advice for the error message when it is missing. */
  help: string;
}

/**
 * Finds the program; on Debian, as root, installs it if it is missing.
 * @throws Error that says what is missing and what to do
 */
export const findOrInstall = (program: NeededProgram): Promise<string> =>
  provide({ ...program, packages: [program.package], find: () => find(program) });

/** Something that tests need, and how to find it. */
export interface Needed extends Pick<NeededProgram, 'what' | 'help'> {
  /** The Debian packages that contain it. */
  packages: readonly string[];
  find: () => Promise<string | undefined>;
}

/**
 * Finds it; on Debian, as root, installs it if it is missing.
 * @throws Error that says what is missing and what to do
 */
export async function provide({ what, help, packages, find: look }: Needed): Promise<string> {
  const missing = (reason: string) => new Error(`The tests need ${what}. ${reason}\n${help}`);
  const found = await look();
  if (found) return found;
  if (process.getuid?.() === 0 && existsSync('/etc/debian_version')) {
    await install(packages).catch((error: Error) => {
      throw missing(`Installing Debian's ${packages.join(', ')} failed: ${error.message}`);
    });
    const installed = await look();
    if (installed) return installed;
  }
  throw missing('There is none on this machine.');
}

async function find({ names, places, files = [] }: NeededProgram): Promise<string | undefined> {
  const directories = [...(process.env.PATH ?? '').split(delimiter), ...places].filter(Boolean);
  const named = names.flatMap((name) => directories.map((directory) => join(directory, name)));
  for (const file of [...named, ...files]) {
    const runs = await access(file, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (runs) return file;
  }
  return undefined;
}

/** Installs packages without starting a service that comes with them. */
async function install(names: readonly string[]): Promise<void> {
  console.log(`a program is missing: installing ${names.join(', ')}`);
  const ours = await writeFile(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755, flag: 'wx' }).then(
    () => true,
    () => false,
  );
  try {
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    const wait = ['-o', 'DPkg::Lock::Timeout=120'];
    await run('apt-get', [...wait, 'update'], { env });
    const words = ['install', '-y', '--no-install-recommends', ...names];
    await run('apt-get', [...wait, ...words], { env, maxBuffer: 64 << 20 });
  } finally {
    if (ours) await rm(POLICY, { force: true });
  }
}

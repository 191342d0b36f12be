import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { findOrInstall } from './installed-program.js';

const LIBRARIES = '/usr/lib';
const LIBRARY = 'faketime/libfaketimeMT.so.1';

/**
 * The environment of a process whose clock is wrong, as on a machine without NTP. Its monotonic clock
 * is right, as it is there.
 * @param offset as faketime(1) reads it: `+6m`, `-90s`
 */
export async function wrongClock(offset: string): Promise<NodeJS.ProcessEnv> {
  await findOrInstall({
    what: 'faketime, which gives a process a wrong clock',
    names: ['faketime'],
    places: ['/usr/bin'],
    package: 'faketime',
    help: 'Install it (Debian, Ubuntu: apt-get install faketime).',
  });
  const library = readdirSync(LIBRARIES)
    .map((folder) => join(LIBRARIES, folder, LIBRARY))
    .find((file) => existsSync(file));
  if (!library) throw new Error(`faketime is installed, but no ${LIBRARIES}/*/${LIBRARY}`);
  return { LD_PRELOAD: library, FAKETIME: offset, FAKETIME_DONT_FAKE_MONOTONIC: '1' };
}

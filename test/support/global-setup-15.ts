import type { TestProject } from 'vitest/node';
import setUp from './global-setup.js';
import { findOrInstall } from './installed-program.js';

/** The oldest version that is supported. */
const MAJOR = 15;

/** As for the other suites, on the oldest PostgreSQL. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  await findOrInstall({
    what: `PostgreSQL ${MAJOR}, the oldest version that is supported`,
    names: [`postgres-${MAJOR}`],
    places: [],
    files: [`/usr/lib/postgresql/${MAJOR}/bin/postgres`],
    package: `postgresql-${MAJOR}`,
    help: `Install the package postgresql-${MAJOR}.`,
  });
  return setUp(project, MAJOR);
}

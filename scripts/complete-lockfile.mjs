/**
 * Adds to package-lock.json the optional packages of other platforms that npm omitted. npm omits what
 * the current registry does not have, and then `npm ci` refuses the file (npm/cli#4828). Run it after
 * `npm install`. The packages that depend on them pin their versions. Entries have no integrity until
 * an npm that has access to the package writes it.
 */
import { readFile, writeFile } from 'node:fs/promises';

const FILE = new URL('../package-lock.json', import.meta.url);
const SYSTEMS = ['aix', 'android', 'darwin', 'freebsd', 'linux', 'openbsd', 'openharmony', 'win32'];
const PROCESSORS = ['arm64', 'arm', 'ia32', 'loong64', 'ppc64', 'riscv64', 's390x', 'x64'];

const lockfile = JSON.parse(await readFile(FILE, 'utf8'));
const { packages } = lockfile;

for (const [path, { optionalDependencies = {} }] of Object.entries(packages)) {
  if (path === '') continue;
  for (const [name, range] of Object.entries(optionalDependencies)) {
    if (holderOf(path, name) !== undefined) continue;
    const entry = platformEntry(name, range, packages[path].dev);
    if (entry) packages[`node_modules/${name}`] = entry;
    else
      console.error(
        `${name}@${range}, which ${path} needs, is missing and not for another platform`,
      );
  }
}

lockfile.packages = Object.fromEntries(
  Object.entries(packages).toSorted(([a], [b]) => a.localeCompare(b, 'en')),
);
await writeFile(FILE, `${JSON.stringify(lockfile, null, 2)}\n`);

/** The path at which Node resolves a package from another one. */
function holderOf(path, name) {
  for (let at = path; ; at = at.slice(0, Math.max(0, at.lastIndexOf('/node_modules/')))) {
    const candidate = at === '' ? `node_modules/${name}` : `${at}/node_modules/${name}`;
    if (candidate in packages) return candidate;
    if (at === '') return undefined;
  }
}

/** The platform in the name of a prebuilt package; undefined if its version is not pinned. */
function platformEntry(name, range, dev) {
  const words = name.split(/[/-]/);
  const os = SYSTEMS.find((system) => words.includes(system));
  const cpu = PROCESSORS.find((processor) => words.includes(processor));
  if (!os || !cpu || !/^\d+\.\d+\.\d+/.test(range)) return undefined;
  const libc = words.some((word) => word.startsWith('musl')) ? 'musl' : 'glibc';
  return {
    version: range,
    cpu: [cpu],
    ...(dev && { dev }),
    ...(os === 'linux' && words.some((word) => /^(gnu|musl)/.test(word)) && { libc: [libc] }),
    optional: true,
    os: [os],
  };
}

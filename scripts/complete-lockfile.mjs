/**
 * Adds to package-lock.json the optional packages of other platforms that npm left out: it drops
 * what the registry in use does not serve, and then `npm ci` refuses the file (npm/cli#4828).
 * Run it after `npm install`. Their versions are pinned by the packages that ask for them; there is
 * no integrity until an npm that can see the package writes one.
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
      console.error(`${name}@${range}, which ${path} asks for, is missing and not of a platform`);
  }
}

lockfile.packages = Object.fromEntries(
  Object.entries(packages).toSorted(([a], [b]) => a.localeCompare(b, 'en')),
);
await writeFile(FILE, `${JSON.stringify(lockfile, null, 2)}\n`);

/** Where Node finds a package from another, as its lookup walks up. */
function holderOf(path, name) {
  for (let at = path; ; at = at.slice(0, Math.max(0, at.lastIndexOf('/node_modules/')))) {
    const candidate = at === '' ? `node_modules/${name}` : `${at}/node_modules/${name}`;
    if (candidate in packages) return candidate;
    if (at === '') return undefined;
  }
}

/** What the name of a prebuilt package says; nothing if its version is not pinned. */
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

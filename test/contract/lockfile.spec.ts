import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { VERSION } from '../../src/shared/version.js';

interface Lockfile {
  packages: Record<
    string,
    { version?: string; resolved?: string; optionalDependencies?: Record<string, string> }
  >;
}

const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8')) as Lockfile;

/** Every copy in the tree, including those below other packages. */
const copies = Object.entries(packages)
  .filter(([path]) => path.includes('node_modules/'))
  .map(([path, { version = '', resolved }]) => ({
    path,
    name: path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length),
    version,
    resolved,
  }));

/** The oldest version without a known vulnerability, and the last advisory about older ones. */
const FLOORS: [name: string, floor: string, advisory: string][] = [
  ['socket.io', '4.8.4', 'CVE-2024-38355'],
  ['engine.io', '6.6.12', 'CVE-2023-31125'],
  ['socket.io-parser', '4.2.7', 'CVE-2026-69185'],
  ['ws', '8.21.0', 'CVE-2026-48779'],
  ['undici', '7.24.0', 'CVE-2026-1525'],
  ['@nestjs/common', '11.1.18', 'CVE-2026-35515'],
  ['@nestjs/core', '11.1.18', 'CVE-2026-35515'],
  ['@nestjs/platform-fastify', '11.1.18', 'CVE-2026-2293'],
  ['typeorm', '1.1.1', 'CVE-2026-76848'],
  ['qs', '6.14.2', 'CVE-2026-2391'],
];

/** Whether a released version is at least another; a prerelease comes before its release. */
function isAtLeast(version: string, floor: string): boolean {
  const [release = '', prerelease] = version.split('-', 2);
  const order = release.localeCompare(floor, 'en', { numeric: true });
  return order > 0 || (order === 0 && prerelease === undefined);
}

describe('package-lock.json', () => {
  it.each(FLOORS)('has no copy of %s below %s (%s)', (name, floor) => {
    const found = copies.filter((copy) => copy.name === name);
    expect(found).not.toEqual([]);
    expect(found.filter(({ version }) => !isAtLeast(version, floor))).toEqual([]);
  });

  it('has no package that opens a development server in production', () => {
    expect(copies.filter(({ name }) => name === '@nestjs/devtools-integration')).toEqual([]);
  });

  it('fetches nothing over http, from a git address or from a directory', () => {
    const addresses = copies.map(({ resolved }) => resolved).filter((url) => url !== undefined);
    expect(addresses.filter((url) => !url.startsWith('https://'))).toEqual([]);
  });

  it('names the prebuilt packages of every platform, without which npm ci refuses it', () => {
    const names = new Set(copies.map(({ name }) => name));
    const asked = Object.values(packages).flatMap(({ optionalDependencies = {} }) =>
      Object.keys(optionalDependencies),
    );
    expect([...new Set(asked)].filter((name) => !names.has(name))).toEqual([]);
  });

  it('has the version that the product reports', () => {
    expect(packages['']?.version).toBe(VERSION);
  });
});

describe(isAtLeast, () => {
  it.each([
    ['8.21.0', '8.21.0', true],
    ['8.100.0', '8.21.0', true],
    ['8.20.9', '8.21.0', false],
    ['7.99.99', '8.21.0', false],
    ['8.21.0-rc.1', '8.21.0', false],
    ['10.0.0', '8.21.0', true],
  ])('%s against %s: %s', (version, floor, expected) => {
    expect(isAtLeast(version, floor)).toBe(expected);
  });
});

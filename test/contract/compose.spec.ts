import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { ENVIRONMENT_KEYS, loadConfig, ROLES } from '../../src/config/env.js';

interface Service {
  image: string;
  build?: string;
  environment?: Record<string, string>;
  secrets?: string[];
  depends_on?: Record<string, { condition: string }>;
  healthcheck?: { test: string[] };
  networks: string[];
  ports?: string[];
  deploy?: { replicas?: number };
  restart?: string;
  stop_grace_period?: string;
}

// `merge`: the keys of `<<` are part of the map, as in Compose.
const compose = parse(readFileSync('docker-compose.yml', 'utf8'), { merge: true }) as {
  services: Record<string, Service>;
  secrets: Record<string, { file: string }>;
  volumes: Record<string, unknown>;
  networks: Record<string, unknown>;
};
const dockerfile = readFileSync('Dockerfile', 'utf8');
const services = Object.entries(compose.services);
const ours = services.filter(([, service]) => service.build !== undefined);

const secretsDirectory = mkdtempSync(join(tmpdir(), 'tidings-secrets-'));
makeSecrets();
afterAll(() => rmSync(secretsDirectory, { recursive: true }));

/** Runs the script of docker-compose.yml's comment, in a directory of the test. */
function makeSecrets(): void {
  execFileSync('bash', ['deploy/make-secrets.sh', secretsDirectory]);
}

describe('docker-compose.yml', () => {
  it('runs every role, each in a service of its own', () => {
    expect(ours.map(([name]) => name).toSorted()).toEqual([...ROLES].toSorted());
    for (const [name, { environment }] of ours) expect(environment?.ROLES).toBe(name);
  });

  it('runs two replicas of the API, each on a port of the range', () => {
    const { deploy, ports } = compose.services.api ?? {};
    expect(deploy?.replicas).toBe(2);
    expect(ports).toEqual(['3000-3001:3000']);
  });

  it.each(ours)('sets for %s only keys that the product reads', (_name, { environment = {} }) => {
    const known = ENVIRONMENT_KEYS.flatMap((key) => [key, `${key}_FILE`]);
    expect(Object.keys(environment).filter((key) => !known.includes(key))).toEqual([]);
  });

  it.each(ours)(
    'configures %s for production, with the secrets that the script creates',
    (name) => {
      const { environment = {} } = compose.services[name] ?? {};
      const mounted = Object.entries(environment).map(([key, value]) => [
        key,
        value.replace('/run/secrets', secretsDirectory),
      ]);
      const config = loadConfig({
        NODE_ENV: 'production',
        ...(Object.fromEntries(mounted) as Record<string, string>),
      });
      expect(config.production).toBe(true);
      expect([...config.roles]).toEqual([name]);
      expect(new URL(config.databaseUrl ?? '').hostname in compose.services).toBe(true);
      expect(new URL(config.redisUrl ?? '').hostname in compose.services).toBe(true);
    },
  );

  it.each(services)('mounts for %s each secret that it reads', (_name, service) => {
    const read = Object.entries(service.environment ?? {})
      .filter(([key]) => key.endsWith('_FILE'))
      .map(([, path]) => basename(path));
    expect(read.toSorted()).toEqual((service.secrets ?? []).toSorted());
    for (const secret of read) expect(compose.secrets).toHaveProperty(secret);
  });

  it('has a script, an example and no committed file for each secret', () => {
    expect(readFileSync('deploy/secrets/.gitignore', 'utf8').split('\n')[0]).toBe('*');
    for (const [name, { file }] of Object.entries(compose.secrets)) {
      expect(existsSync(join(secretsDirectory, name))).toBe(true);
      expect(existsSync(`${file}.example`)).toBe(true);
      expect(file).toBe(`deploy/secrets/${name}`);
    }
  });

  it('keeps the secrets that exist when the script runs again', () => {
    const read = () =>
      Object.keys(compose.secrets).map((name) =>
        readFileSync(join(secretsDirectory, name), 'utf8'),
      );
    const before = read();
    makeSecrets();
    expect(read()).toEqual(before);
  });

  it.each(services)('restarts %s, and gives it time to shut down', (_name, service) => {
    expect(service.restart).toBe('unless-stopped');
    expect(service.stop_grace_period).toBe('30s');
  });

  it('waits for stores whose health is checked', () => {
    for (const [, { depends_on = {} }] of ours) {
      expect(Object.keys(depends_on)).toEqual(['postgres', 'redis']);
      for (const [name, { condition }] of Object.entries(depends_on)) {
        expect(condition).toBe('service_healthy');
        expect(compose.services[name]?.healthcheck?.test).toBeDefined();
      }
    }
  });

  it('allows only the product to reach the stores', () => {
    for (const name of ['postgres', 'redis']) {
      expect(compose.services[name]?.networks).toEqual(['stores']);
      expect(compose.services[name]?.ports).toBeUndefined();
    }
    expect(compose.networks.stores).toEqual({ internal: true });
  });

  it('names images by exact version', () => {
    const bought = services.filter(([, { build }]) => build === undefined);
    for (const [, { image }] of bought) expect(image).toMatch(/:\d+\.\d+(\.\d+)?-\w+$/);
  });
});

describe('Dockerfile', () => {
  const instructions = (name: string) =>
    [...dockerfile.matchAll(new RegExp(`^${name} (.+)$`, 'gm'))].map((match) => match[1] ?? '');

  it('starts from the version of Node that .nvmrc names', () => {
    const version = readFileSync('.nvmrc', 'utf8').trim();
    const images = instructions('FROM').filter((from) => from.startsWith('node:'));
    expect(images.length).toBeGreaterThan(0);
    for (const image of images) expect(image.split(' ')[0]).toBe(`node:${version}-bookworm-slim`);
  });

  it('copies only files that exist and that .dockerignore allows', () => {
    const allowed = readFileSync('.dockerignore', 'utf8').match(/(?<=^!).+$/gm);
    const sources = instructions('COPY')
      .filter((copy) => !copy.startsWith('--from='))
      .flatMap((copy) => copy.split(' ').slice(0, -1));
    expect(sources.filter((source) => !existsSync(source))).toEqual([]);
    expect(sources.filter((source) => !allowed?.includes(source))).toEqual([]);
  });

  it('runs the built program as an unprivileged user, and stops it by SIGTERM', () => {
    expect(instructions('ENTRYPOINT')).toEqual(['["node", "dist/main.js"]']);
    expect(instructions('USER')).toEqual(['node']);
    expect(instructions('STOPSIGNAL')).toEqual(['SIGTERM']);
    expect(dockerfile.indexOf('\nUSER')).toBeLessThan(dockerfile.indexOf('\nENTRYPOINT'));
  });

  it('installs only what production runs', () => {
    const [install = ''] = instructions('RUN');
    expect(install).toBe('npm ci --omit=dev --omit=optional');
  });
});

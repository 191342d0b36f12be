import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ConfigError, loadConfig, loadDatabaseUrl } from './env.js';

const dataDir = mkdtempSync(join(tmpdir(), 'tidings-env-'));
const load = (env: NodeJS.ProcessEnv) => loadConfig({ DATA_DIR: dataDir, ...env });

function problemsOf(env: NodeJS.ProcessEnv): string[] {
  try {
    load(env);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

describe(loadDatabaseUrl.name, () => {
  const [pooled, direct] = ['postgres://pooler/tidings', 'postgres://db/tidings'];

  it('needs the address alone, and prefers the direct one', () => {
    expect(loadDatabaseUrl({ NODE_ENV: 'production', DATABASE_URL: pooled })).toBe(pooled);
    const both = { DATABASE_URL: pooled, DATABASE_DIRECT_URL: direct };
    expect(loadDatabaseUrl(both)).toBe(direct);
  });

  it.each([[{}], [{ DATABASE_URL: 'mysql://x' }]])('refuses %j by name', (env) => {
    expect(() => loadDatabaseUrl(env)).toThrow(/DATABASE_URL /);
  });
});

describe(loadConfig.name, () => {
  const production = {
    NODE_ENV: 'production',
    DATABASE_URL: 'postgres://db/tidings',
    JWT_SECRET: 'x'.repeat(32),
    SECRETS_KEY: Buffer.alloc(32).toString('base64'),
  };

  it('lets guests in where a tenant is named, with a warning in production', () => {
    expect(load({}).realtime.guests).toBeUndefined();
    expect(load({ REALTIME_GUESTS: 'acme' })).toMatchObject({
      realtime: { guests: { ownerId: 'acme', maxConnections: 1_000, maxConnectionsPerIp: 100 } },
      warnings: [],
    });
    expect(load(production).warnings).toEqual([]);
    expect(load({ ...production, REALTIME_GUESTS: 'acme' }).warnings).toEqual([
      expect.stringContaining('REALTIME_GUESTS'),
    ]);
    expect(problemsOf({ REALTIME_GUESTS: '$operator' })).toEqual([
      expect.stringMatching(/^REALTIME_GUESTS must not start with/),
    ]);
  });

  it.each([
    [{}, 10_000],
    [{ REALTIME_MAX_CONNECTIONS: '100', REALTIME_MAX_CONNECTIONS_PER_USER: '10' }, 25],
    [{ REALTIME_MAX_CONNECTIONS: '100', REALTIME_MAX_CONNECTIONS_PER_USER: '50' }, 50],
    [{ REALTIME_MAX_CONNECTIONS_PER_TENANT: '7' }, 7],
  ])('gives a tenant a share of the connections: %j', (env, expected) => {
    expect(load(env).realtime.maxConnectionsPerTenant).toBe(expected);
  });

  it.each([
    ['', []],
    ['0', 0],
    ['2', 2],
    ['127.0.0.1', ['127.0.0.1']],
    ['10.0.0.0/8, ::1', ['10.0.0.0/8', '::1']],
  ])('takes TRUSTED_PROXIES=%s', (value, expected) => {
    expect(load({ TRUSTED_PROXIES: value }).trustedProxies).toEqual(expected);
  });

  it('needs nothing on a developer’s machine, and keeps the secrets it made', () => {
    const first = load({});
    expect(first).toMatchObject({ production: false, port: 3000, databaseUrl: undefined });
    expect(load({}).auth.secret).toBe(first.auth.secret);
    expect(load({}).secretsKey).toEqual(first.secretsKey);
  });

  it('refuses loopback unless it is allowed', () => {
    expect(load({}).outbound.allowCidrs).toEqual([]);
    expect(load({ OUTBOUND_ALLOW_CIDRS: '127.0.0.0/8, ::1/128' }).outbound.allowCidrs).toEqual([
      '127.0.0.0/8',
      '::1/128',
    ]);
  });

  it('takes name servers with and without a port', () => {
    const servers = ['10.0.0.2', '10.0.0.2:5353', 'fd00::2', '[fd00::2]:53'];
    expect(load({ OUTBOUND_DNS_SERVERS: servers.join(', ') }).outbound.dnsServers).toEqual(servers);
    expect(load({}).outbound.dnsServers).toBeUndefined();
  });

  it.each([
    ['PORT', '70000'],
    ['PORT', '-1'],
    ['PORT', '3000x'],
    ['ROLES', 'api,cook'],
    ['ROLES', ','],
    ['DATABASE_URL', 'mysql://x'],
    ['REDIS_URL', 'localhost:6379'],
    ['REDIS_URL', 'redis://:100%@cache'],
    ['JWT_SECRET', 'short'],
    ['JWT_PUBLIC_KEY', 'nonsense'],
    ['JWT_JWKS_URL', 'file:///etc/passwd'],
    ['SECRETS_KEY', 'dG9vIHNob3J0'],
    ['OUTBOUND_ALLOW_HTTP', 'maybe'],
    ['TRUSTED_PROXIES', '11'],
    ['TRUSTED_PROXIES', '1, 2'],
    ['TRUSTED_PROXIES', '-1'],
    ['TRUSTED_PROXIES', 'true'],
    ['TRUSTED_PROXIES', 'proxy.example'],
    ['TRUSTED_PROXIES', '10.0.0.0/33'],
    ['OUTBOUND_ALLOW_CIDRS', '127.0.0.1'],
    ['OUTBOUND_ALLOW_CIDRS', '127.0.0.0/33'],
    ['HOST', '1.2.3'],
    ['HOST', '1.2.3.4.5'],
    ['HOST', 'localhost.1'],
    ['OUTBOUND_NAT64_PREFIXES', '64:ff9b::/95'],
    ['OUTBOUND_NAT64_PREFIXES', '10.0.0.0/32'],
    ['OUTBOUND_PORTS', '0'],
    ['OUTBOUND_PORTS', '443,65536'],
    ['OUTBOUND_PORTS', 'https'],
    ['OUTBOUND_PORTS', 'any,80'],
    ['OUTBOUND_CA', 'not a certificate'],
    ['OUTBOUND_PROXY', 'proxy:3128'],
    ['OUTBOUND_PROXY', 'socks5://proxy:1080'],
    ['OUTBOUND_PROXY', 'http://proxy:3128/path'],
    ['OUTBOUND_PROXY', 'http://user:%zz@proxy:3128'],
    ['HOST', 'not a host'],
    ['HOST', '::1/128'],
    ['OUTBOUND_DNS_SERVERS', 'dns.example'],
    ['OUTBOUND_DNS_SERVERS', '10.0.0.2:0'],
    ['OUTBOUND_DNS_SERVERS', '10.0.0.2:70000'],
    ['OUTBOUND_DNS_SERVERS', '10.0.0.2, fd00::2:x'],
    ['OUTBOUND_DNS_SERVERS', '10.0.0.2:53:53'],
    ['DELIVERY_TIMEOUT_MS', '0'],
    ['DELIVERY_TIMEOUT_MS', '1e3'],
    ['DELIVERY_RETRY_SCHEDULE_MS', '1,x'],
    ['DELIVERY_CONCURRENCY', '1.5'],
    ['LOG_LEVEL', 'loud'],
    ['NODE_ENV', 'staging'],
  ])('refuses %s=%s by name', (key, value) => {
    const problems = problemsOf({ [key]: value });
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(new RegExp(`^${key} `));
  });

  it('names every offender at once', () => {
    const problems = problemsOf({ PORT: 'x', ROLES: 'y', LOG_LEVEL: 'z' });
    expect(problems.map((problem) => problem.split(' ')[0])).toEqual([
      'PORT',
      'ROLES',
      'LOG_LEVEL',
    ]);
  });

  it('has no defaults for what production must be given', () => {
    const problems = problemsOf({ NODE_ENV: 'production', OUTBOUND_ALLOW_HTTP: 'true' });
    const keys = problems.map((problem) => problem.split(' ')[0]);
    expect(keys).toEqual(['DATABASE_URL', 'JWT_SECRET', 'SECRETS_KEY', 'OUTBOUND_ALLOW_HTTP']);
  });

  it('sends to https only in production', () => {
    const production = {
      NODE_ENV: 'production',
      DATABASE_URL: 'postgres://db/tidings',
      JWT_SECRET: 'x'.repeat(32),
      SECRETS_KEY: Buffer.alloc(32).toString('base64'),
    };
    expect(load(production).outbound.allowHttp).toBe(false);
    expect(problemsOf({ ...production, JWT_SECRET: 'x'.repeat(31) })[0]).toMatch(/^JWT_SECRET /);
  });

  it('limits ports in production, and by a setting', () => {
    const production = {
      NODE_ENV: 'production',
      DATABASE_URL: 'postgres://db/tidings',
      JWT_SECRET: 'x'.repeat(32),
      SECRETS_KEY: Buffer.alloc(32).toString('base64'),
    };
    expect(load({}).outbound.ports).toBe('unprivileged');
    expect(load(production).outbound.ports).toEqual([80, 443, 8080, 8443]);
    expect(load({ OUTBOUND_PORTS: '443, 8443' }).outbound.ports).toEqual([443, 8443]);
    expect(load({ ...production, OUTBOUND_PORTS: 'any' }).outbound.ports).toBe('any');
  });

  it('keeps the credentials of a proxy as its header', () => {
    const { proxy } = load({ OUTBOUND_PROXY: 'https://user:p%40ss@proxy.example' }).outbound;
    expect(proxy).toEqual({
      protocol: 'https:',
      hostname: 'proxy.example',
      port: 443,
      authorization: `Basic ${Buffer.from('user:p@ss').toString('base64')}`,
    });
    const [problem] = problemsOf({ OUTBOUND_PROXY: 'ftp://user:hunter2@proxy' });
    expect(problem).not.toContain('hunter2');
  });

  it('names the key that a bad file was given by', () => {
    const file = join(dataDir, 'no-certificates.pem');
    writeFileSync(file, 'nothing of use\n');
    expect(problemsOf({ OUTBOUND_CA_FILE: file })[0]).toMatch(/^OUTBOUND_CA_FILE must be/);
  });

  it('takes a value from a file, without the line end', () => {
    const file = join(dataDir, 'jwt_secret');
    writeFileSync(file, 'a-secret-from-a-file\n');
    expect(load({ JWT_SECRET_FILE: file }).auth.secret).toBe('a-secret-from-a-file');
  });

  it('refuses a key that is given twice, and a file that is not there', () => {
    const file = join(dataDir, 'missing');
    expect(problemsOf({ JWT_SECRET_FILE: file })[0]).toMatch(/^JWT_SECRET_FILE .*ENOENT/);
    const both = { JWT_SECRET: 'x'.repeat(20), JWT_SECRET_FILE: file };
    expect(problemsOf(both)[0]).toMatch(/^JWT_SECRET and JWT_SECRET_FILE/);
    const two = { JWT_SECRET: 'x'.repeat(20), JWT_JWKS_URL: 'https://issuer.example/jwks' };
    expect(problemsOf(two)[0]).toMatch(/exclude each other/);
  });

  it('takes an empty value for none', () => {
    expect(load({ REDIS_URL: '', PORT: '' })).toMatchObject({ port: 3000, redisUrl: undefined });
  });
});

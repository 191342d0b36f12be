import { describe, expect, it } from 'vitest';
import { ENVIRONMENT_KEYS } from './env.js';
import { unknownSettings } from './unknown-settings.js';

const suggested = (name: string) =>
  /Did you mean (\w+)\?$/.exec(unknownSettings({ [name]: 'x' }, ENVIRONMENT_KEYS)[0] ?? '')?.[1];

describe(unknownSettings.name, () => {
  it.each([
    ['DELIVERY_TIMEOUT', 'DELIVERY_TIMEOUT_MS'],
    ['DELIVERY_MAX_PER_WEBHOK', 'DELIVERY_MAX_PER_WEBHOOK'],
    ['REALTIME_MAX_CONNECTION', 'REALTIME_MAX_CONNECTIONS'],
    ['JWT_JWK_URL', 'JWT_JWKS_URL'],
    ['JWT_SECRETS_FILE', 'JWT_SECRET_FILE'],
    ['DATABSE_URL', 'DATABASE_URL'],
    ['REDIS_URI', 'REDIS_URL'],
    ['SECRET_KEY', 'SECRETS_KEY'],
    ['log_level', 'LOG_LEVEL'],
    ['ROLE', 'ROLES'],
    ['ROLLES', 'ROLES'],
  ])('suggests for %s %s', (name, nearest) => expect(suggested(name)).toBe(nearest));

  it('has nothing against settings, and what is not ours', () => {
    const ours = ENVIRONMENT_KEYS.flatMap((key) => [key, `${key}_FILE`]);
    const others = [
      'PATH',
      'HOME',
      'NODE_OPTIONS',
      'npm_config_cache',
      'LC_ALL',
      'PORTS',
      'HOSTNAME',
      'REDIS_PORT',
      'REDIS_SERVICE_HOST',
      'REDIS_SERVICE_PORT_METRICS',
      'REDIS_PORT_6379_TCP',
      'REDIS_PORT_6379_TCP_ADDR',
      'DATABASE_SERVICE_PORT',
      'PGHOST',
      'TZ',
    ];
    const source = Object.fromEntries([...ours, ...others].map((name) => [name, 'x']));
    expect(unknownSettings(source, ENVIRONMENT_KEYS)).toEqual([]);
  });

  it('never shows a value', () => {
    expect(unknownSettings({ JWT_SECRT: 'hunter2' }, ENVIRONMENT_KEYS).join()).not.toContain(
      'hunter2',
    );
  });
});

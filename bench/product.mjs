/** A process of the built product, as a user runs it. */
import { createHmac, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { Program } from './processes.mjs';

/** How long the start may take, migrations included. */
const START_MS = 60_000;
/** How long the end may take: attempts in flight may finish. */
const END_MS = 20_000;
const TOKEN_S = 3 * 3600;
const OWNER = 'bench';

/**
 * What the processes of one installation share.
 * @param {string[]} roles of the token
 */
export function newInstallation(roles = ['manager', 'publisher']) {
  const jwtSecret = randomBytes(32).toString('hex');
  return {
    env: { JWT_SECRET: jwtSecret, SECRETS_KEY: randomBytes(32).toString('base64') },
    token: token(jwtSecret, roles),
  };
}

/**
 * @typedef {object} Options
 * @property {string} dist
 * @property {string} databaseUrl
 * @property {string | undefined} redisUrl
 * @property {string | undefined} profileDirectory where a CPU profile is written at the end
 * @property {NodeJS.ProcessEnv} env environment of the installation and of this run
 */

export class Product {
  #program;
  #port = 0;

  /** @param {Options} options */
  constructor({ dist, databaseUrl, redisUrl, profileDirectory, env }) {
    const profile = profileDirectory ? ['--cpu-prof', `--cpu-prof-dir=${profileDirectory}`] : [];
    this.#program = new Program(
      'the product',
      process.execPath,
      [...profile, join(dist, 'main.js')],
      {
        endMs: END_MS,
        env: {
          PATH: process.env['PATH'],
          PORT: '0',
          DATABASE_URL: databaseUrl,
          ...(redisUrl ? { REDIS_URL: redisUrl } : {}),
          OUTBOUND_ALLOW_HTTP: 'true',
          OUTBOUND_ALLOW_CIDRS: '127.0.0.0/8',
          LOG_LEVEL: 'log',
          ...productSettings(),
          ...env,
        },
      },
    );
  }

  get pid() {
    return this.#program.pid;
  }

  get failure() {
    return this.#program.failure;
  }

  get output() {
    return this.#program.output;
  }

  get baseUrl() {
    return `http://127.0.0.1:${this.#port}`;
  }

  stop() {
    return this.#program.stop();
  }

  async listening() {
    const [, port] = await this.#program.line(/listening on \S*:(\d+)/i, START_MS);
    this.#port = Number(port);
  }
}

const PASSED_ON = /^(DELIVERY|BREAKER|EVENT_RETENTION)_/;

/** The settings of the product that this process's environment overrides. */
export const productSettings = () =>
  Object.fromEntries(Object.entries(process.env).filter(([key]) => PASSED_ON.test(key)));

/**
 * A JSON Web Token (RFC 7519) of one owner.
 * @param {string} secret
 * @param {string[]} roles
 */
function token(secret, roles) {
  const exp = Math.floor(Date.now() / 1000) + TOKEN_S;
  const parts = [
    { alg: 'HS256', typ: 'JWT' },
    { sub: OWNER, roles, exp },
  ];
  const text = parts
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.');
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
}

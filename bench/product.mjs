/** The built product as a user runs it: a process of its own, spoken to over its REST API only. */
import { createHmac, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { request } from 'undici';
import { Program } from './processes.mjs';
import { WEBHOOKS } from './receipts.mjs';
import { eventType } from './publisher.mjs';
import { WEBHOOK_SECRET } from './signature.mjs';

/** Migrations included. */
const START_MS = 60_000;
/** In-flight attempts may finish. */
const END_MS = 20_000;
const TOKEN_S = 3600;
const OWNER = 'bench';

/** @typedef {{ dist: string; databaseUrl: string; redisUrl: string | undefined; profileDirectory: string | undefined }} Options */

export class Product {
  #program;
  #token;
  #port = 0;

  /** @param {Options} options `profileDirectory`: where a CPU profile is written at the end */
  constructor({ dist, databaseUrl, redisUrl, profileDirectory }) {
    const secret = randomBytes(32).toString('hex');
    this.#token = token(secret);
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
          JWT_SECRET: secret,
          SECRETS_KEY: randomBytes(32).toString('base64'),
          OUTBOUND_ALLOW_HTTP: 'true',
          OUTBOUND_ALLOW_CIDRS: '127.0.0.0/8',
          LOG_LEVEL: 'log',
          ...deliverySettings(),
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

  /** Where, and with which credential, events are published. */
  get target() {
    return { port: this.#port, token: this.#token };
  }

  stop() {
    return this.#program.stop();
  }

  async listening() {
    const [, port] = await this.#program.line(/listening on \S*:(\d+)/i, START_MS);
    this.#port = Number(port);
  }

  /**
   * One webhook per origin. Each hears two types: one that goes to a group of ten, and its own.
   * @param {readonly string[]} origins
   */
  async register(origins) {
    for (const [index, origin] of origins.entries()) {
      const events = [10, 1].map((fanOut) => eventType(fanOut, Math.floor(index / fanOut)));
      await this.#post('/api/v1/webhooks', {
        url: `${origin}/hook`,
        events,
        secret: WEBHOOK_SECRET,
      });
    }
    if (origins.length !== WEBHOOKS) throw new RangeError(`${WEBHOOKS} origins are needed`);
  }

  /**
   * @param {string} path
   * @param {object} input
   */
  async #post(path, input) {
    const { statusCode, body } = await request(`http://127.0.0.1:${this.#port}${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${this.#token}`, 'content-type': 'application/json' },
      body: JSON.stringify(input),
    });
    const text = await body.text();
    if (statusCode !== 201) throw new Error(`POST ${path} was answered ${statusCode}: ${text}`);
  }
}

/** `DELIVERY_*` of our own environment: what the product is to do otherwise than by default. */
export function deliverySettings() {
  const given = Object.entries(process.env).filter(([key]) => key.startsWith('DELIVERY_'));
  return Object.fromEntries(given);
}

/**
 * A JSON Web Token (RFC 7519) of a publisher, as its tenant would have it.
 * @param {string} secret
 */
function token(secret) {
  const exp = Math.floor(Date.now() / 1000) + TOKEN_S;
  const parts = [
    { alg: 'HS256', typ: 'JWT' },
    { sub: OWNER, roles: ['publisher'], exp },
  ];
  const text = parts
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.');
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
}

/** Starts everything that a run needs: the measuring programs, the stores, and the product. */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client } from 'pg';
import { callJson } from './adapter.mjs';
import * as tidings from './adapters/tidings.mjs';
import { Child } from './child.mjs';
import { DATA_BYTES } from './plans.mjs';
import { newInstallation, Product } from './product.mjs';
import { Server } from './server.mjs';
import { startPostgres, startRedis } from './stores.mjs';

/** Not in the system's temporary directory: on many systems that is memory, where commits cost nothing. */
export const RESULTS = fileURLToPath(new URL('results', import.meta.url));

const LOOPBACK = '127.0.0.1';
/** How long deliveries of a finished scenario may take to succeed or to be canceled. */
const SETTLE_MS = 15_000;
const POLL_MS = 100;

/** @typedef {import('./options.mjs').Options} Options */

export class Rig {
  #lifetime;
  #options;
  #installation = newInstallation();
  /** @type {import('./stores.mjs').Store | undefined} */
  postgres;
  /** @type {import('./stores.mjs').Store | undefined} */
  redis;
  /** Those that run. @type {Product[]} */
  products = [];
  /** @type {string[]} */
  origins = [];

  /**
   * @param {import('./lifetime.mjs').Lifetime} lifetime
   * @param {Options} options
   * @param {{ receiver: Child; load: Child; raw: Child }} tools
   */
  constructor(lifetime, options, { receiver, load, raw }) {
    this.#lifetime = lifetime;
    this.#options = options;
    this.receiver = receiver;
    this.load = load;
    this.raw = raw;
  }

  /**
   * @param {import('./lifetime.mjs').Lifetime} lifetime
   * @param {Options} options
   */
  static async start(lifetime, options) {
    const receiver = await lifetime.own(new Child('receiver.mjs'));
    const load = await lifetime.own(new Child('load.mjs'));
    const raw = await lifetime.own(new Child('raw-client.mjs'));
    const rig = new Rig(lifetime, options, { receiver, load, raw });
    const { receiverHost: host = LOOPBACK } = options;
    const address = host === LOOPBACK ? LOOPBACK : '0.0.0.0';
    rig.origins = await receiver.call('listen', { address, host });
    await raw.call('setUp', { origins: rig.origins, dataBytes: DATA_BYTES });
    return rig;
  }

  get #dist() {
    return resolve(this.#options.dist);
  }

  async startStores() {
    if (!existsSync(join(this.#dist, 'main.js')))
      throw new Error(`There is no build in ${this.#dist}: npm run build`);
    this.postgres = await this.#lifetime.own(await startPostgres(this.#dist, RESULTS));
    this.redis = this.#options.withRedis ? await startRedis() : undefined;
    if (this.redis) await this.#lifetime.own(this.redis);
  }

  /**
   * Starts one more process of the same installation.
   * @param {NodeJS.ProcessEnv} [env] settings that differ from the defaults
   */
  async startProduct(env = {}) {
    const { profile } = this.#options;
    const product = await this.#lifetime.own(
      new Product({
        dist: this.#dist,
        databaseUrl: this.postgres?.url ?? '',
        redisUrl: this.redis?.url,
        profileDirectory: profile && resolve(profile),
        env: { ...this.#installation.env, ...env },
      }),
    );
    await product.listening();
    this.products.push(product);
    return product;
  }

  /** @param {Product} product */
  async stopProduct(product) {
    this.products = this.products.filter((other) => other !== product);
    await product.stop();
  }

  async stopProducts() {
    for (const product of this.products.toReversed()) await this.stopProduct(product);
  }

  /** The first process that runs. */
  get mainProduct() {
    const [first] = this.products;
    if (!first) throw new Error('The product is not running');
    return first;
  }

  /** The product as a server, reached at its first process. */
  get product() {
    const env = { TIDINGS_TOKEN: this.#installation.token };
    const { baseUrl } = this.mainProduct;
    const server = new Server({ name: 'product', adapter: tidings, adapterUrl: '', baseUrl }, env);
    return { server, isProduct: true };
  }

  /** The addresses of all running processes of the product. */
  get addresses() {
    return this.products.map(({ baseUrl }) => ({
      host: LOOPBACK,
      port: Number(new URL(baseUrl).port),
    }));
  }

  /**
   * @param {import('undici').Dispatcher.HttpMethod} method
   * @param {string} path
   * @param {object} body
   */
  call(method, path, body) {
    const headers = { authorization: `Bearer ${this.#installation.token}` };
    return callJson(method, `${this.mainProduct.baseUrl}${path}`, { headers, body });
  }

  /**
   * Runs a statement on a connection of its own.
   * @param {string} statement
   */
  async query(statement) {
    const client = new Client({ connectionString: this.postgres?.url });
    await client.connect();
    try {
      const { rows } = await client.query(statement);
      return rows;
    } finally {
      await client.end();
    }
  }

  /**
   * Waits until no delivery is pending.
   * @returns {Promise<number>} how many are still pending after the timeout
   */
  async settled() {
    const deadline = performance.now() + SETTLE_MS;
    for (;;) {
      const [row] = await this.query(
        `SELECT (SELECT count(*) FROM event_outbox)::integer +
                (SELECT count(*) FROM deliveries
                  WHERE status IN ('pending', 'retrying', 'delivering'))::integer AS pending`,
      );
      const pending = Number(row?.pending ?? 0);
      if (pending > 0 && performance.now() > deadline)
        console.log(`${pending} deliveries are still pending`);
      if (pending === 0 || performance.now() > deadline) return pending;
      await new Promise((wake) => setTimeout(wake, POLL_MS));
    }
  }
}

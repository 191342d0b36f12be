/** Everything that a run starts: the measuring programs, the stores, and processes of the product. */
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

/** Not in the system's temporary directory: that is memory on many systems, and commits cost nothing there. */
export const RESULTS = fileURLToPath(new URL('results', import.meta.url));

const LOOPBACK = '127.0.0.1';
/** What a scenario leaves behind is done or canceled by then. */
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
   * One more process of the same installation.
   * @param {NodeJS.ProcessEnv} [env] what is to differ from the defaults
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
    if (!first) throw new Error('The product does not run');
    return first;
  }

  /** The product as a server, spoken to at its first process. */
  get product() {
    const env = { TIDINGS_TOKEN: this.#installation.token };
    const { baseUrl } = this.mainProduct;
    const server = new Server({ name: 'product', adapter: tidings, adapterUrl: '', baseUrl }, env);
    return { server, isProduct: true };
  }

  /** Where the product is spoken to, of every process that runs. */
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
   * On a connection of its own.
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
   * Waits until the product owes nothing.
   * @returns {Promise<number>} what it owes after a while all the same
   */
  async settled() {
    const deadline = performance.now() + SETTLE_MS;
    for (;;) {
      const [row] = await this.query(
        `SELECT (SELECT count(*) FROM event_outbox)::integer +
                (SELECT count(*) FROM deliveries
                  WHERE status IN ('pending', 'retrying', 'delivering'))::integer AS owed`,
      );
      const owed = Number(row?.owed ?? 0);
      if (owed > 0 && performance.now() > deadline)
        console.log(`${owed} deliveries are still owed`);
      if (owed === 0 || performance.now() > deadline) return owed;
      await new Promise((wake) => setTimeout(wake, POLL_MS));
    }
  }
}

/** Starts everything that a run needs: stores, the product, the plain server, publishers and clients. */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { tidingsPublication } from './publication.mjs';
import { Child } from '../child.mjs';
import { newInstallation, Product } from '../product.mjs';
import { startPostgres, startRedis } from '../stores.mjs';

const RESULTS = fileURLToPath(new URL('../results', import.meta.url));
const LOOPBACK = '127.0.0.1';
export const DATA_BYTES = 1024;
const TOPIC = 'bench.live.*';
const PUBLISHERS = 32;

/** @typedef {import('./options.mjs').Options} Options */
/** @typedef {'plain' | 'product'} ServerName */

export class LiveRig {
  #lifetime;
  #options;
  #installation = newInstallation(['manager', 'publisher', 'subscriber']);
  /** @type {import('../stores.mjs').Store | undefined} */
  postgres;
  /** @type {import('../stores.mjs').Store | undefined} */
  redis;
  /** @type {Child[]} */
  crowds = [];
  /** @type {number[]} */
  #received = [];
  #next = 0;

  /**
   * @param {import('../lifetime.mjs').Lifetime} lifetime
   * @param {Options} options
   * @param {Child} load
   */
  constructor(lifetime, options, load) {
    this.#lifetime = lifetime;
    this.#options = options;
    this.load = load;
  }

  /**
   * @param {import('../lifetime.mjs').Lifetime} lifetime
   * @param {Options} options
   */
  static async start(lifetime, options) {
    const rig = new LiveRig(lifetime, options, await lifetime.own(new Child('load.mjs')));
    const dist = resolve(options.dist);
    if (!existsSync(join(dist, 'main.js')))
      throw new Error(`There is no build in ${dist}: npm run build`);
    rig.postgres = await lifetime.own(await startPostgres(dist, RESULTS));
    rig.redis = options.withRedis ? await startRedis() : undefined;
    if (rig.redis) await lifetime.own(rig.redis);
    for (let index = 0; index < options.crowds; index += 1) {
      rig.crowds.push(await lifetime.own(new Child('realtime/crowd.mjs')));
    }
    return rig;
  }

  /**
   * Starts one more process of the product.
   * @param {NodeJS.ProcessEnv} [env]
   */
  async startProduct(env = {}) {
    const { dist, profile } = this.#options;
    const product = await this.#lifetime.own(
      new Product({
        dist: resolve(dist),
        databaseUrl: this.postgres?.url ?? '',
        redisUrl: this.redis?.url,
        profileDirectory: profile && resolve(profile),
        env: { ...this.#installation.env, ...env },
      }),
    );
    await product.listening();
    return product;
  }

  /** A plain Socket.IO server. */
  async startPlain() {
    const server = await this.#lifetime.own(new Child('realtime/plain-server.mjs'));
    return { server, address: await server.call('listen') };
  }

  /**
   * Connects clients, spread over the processes, each with an address of its own.
   * @param {number} count
   * @param {{ host: string; port: number }} address
   * @param {{ protocol?: 'socket.io' | 'websocket'; isPlain?: boolean }} [how]
   */
  async connect(count, { host, port }, { protocol = 'socket.io', isPlain = false } = {}) {
    const { length } = this.crowds;
    await Promise.all(
      this.crowds.map((crowd, index) =>
        crowd.call('connect', {
          count: Math.floor((count + index) / length),
          protocol,
          host,
          port,
          token: this.#installation.token,
          topics: [TOPIC],
          subscribes: !isPlain,
          // All of 127.0.0.0/8 is this machine on Linux only.
          localAddress: process.platform === 'linux' ? `127.0.0.${index + 2}` : undefined,
        }),
      ),
    );
  }

  /**
   * Sends the same command to all crowds.
   * @param {string} command
   * @param {unknown} [argument]
   * @returns {Promise<any[]>}
   */
  all(command, argument) {
    return Promise.all(this.crowds.map((crowd) => crowd.call(command, argument)));
  }

  /**
   * From now on the sender is notified of how much has arrived.
   * @param {Child} sender
   */
  relayProgressTo(sender) {
    this.#received = this.crowds.map(() => 0);
    for (const [index, crowd] of this.crowds.entries()) {
      crowd.onNotice = (received) => {
        this.#received[index] = received;
        sender.notify('received', this.received);
      };
    }
  }

  /** Messages that have arrived since the relay was set up, as far as reported. */
  get received() {
    return this.#received.reduce((sum, count) => sum + count, 0);
  }

  /**
   * The settings of the load generator to publish to the product.
   * @param {import('../product.mjs').Product} product
   */
  publishing({ baseUrl }) {
    const { port } = new URL(baseUrl);
    const first = this.#next;
    // Numbers are never reused, so that events of different windows cannot be confused.
    this.#next += 1e6;
    return {
      addresses: [{ host: LOOPBACK, port: Number(port) }],
      publication: tidingsPublication(this.#installation.token, DATA_BYTES),
      fanOut: 10,
      connections: PUBLISHERS,
      first,
    };
  }
}

/** @param {import('../product.mjs').Product} product */
export const addressOf = ({ baseUrl }) => ({ host: LOOPBACK, port: Number(new URL(baseUrl).port) });

/** A server under test: reached at one or several addresses, through its adapter. */
import { DATA_BYTES } from './plans.mjs';
import { allTypes, eventType, STEADY, typesOf } from './event-types.mjs';
import { WEBHOOK_SECRET } from './signature.mjs';
import { stampedData } from './stamp.mjs';

/** How many endpoints are created at the same time. */
const AT_ONCE = 8;

/** @typedef {{ name: string; adapter: import('./adapter.mjs').Adapter; adapterUrl: string; baseUrl: string }} Options */

export class Server {
  #adapter;
  #access;
  name;
  /** How the receiver recognises requests of this server. */
  sink;

  /**
   * @param {Options} options
   * @param {Record<string, string | undefined>} [env]
   */
  constructor({ name, adapter, adapterUrl, baseUrl }, env = process.env) {
    this.name = name;
    this.#adapter = adapter;
    this.#access = { baseUrl: checked(baseUrl), env, state: /** @type {unknown} */ (undefined) };
    this.sink = {
      signedWith: adapter.signedWith ?? null,
      decoder: adapter.deliveredBody ? adapterUrl : null,
    };
  }

  get baseUrl() {
    return this.#access.baseUrl;
  }

  async setUp() {
    this.#access.state = await this.#adapter.setUp?.(this.#access, allTypes());
  }

  /**
   * One endpoint per origin.
   * @param {readonly string[]} origins
   * @param {string} [set]
   * @param {object} [settings]
   * @returns {Promise<unknown[]>} their ids
   */
  register(origins, set = STEADY, settings = {}) {
    return inTurns(origins, (origin, number) =>
      this.#adapter.createEndpoint(this.#access, {
        url: `${origin}/hook`,
        events: typesOf(number, set),
        number,
        secret: WEBHOOK_SECRET,
        settings,
      }),
    );
  }

  /** @param {readonly unknown[]} ids */
  async remove(ids) {
    await inTurns(ids, (id) => this.#adapter.removeEndpoint?.(this.#access, id));
  }

  /**
   * What the load generator needs.
   * @param {number} fanOut
   * @param {{ set?: string | undefined; events?: number }} [options] `events` in one request
   * @returns {import('./publisher.mjs').Target}
   */
  target(fanOut, { set, events = 1 } = {}) {
    const type = eventType(fanOut, 0, set);
    const data = stampedData(DATA_BYTES);
    const { method = 'POST', path, headers = {}, body } = this.#publication({ type, data }, events);
    const { hostname, port, pathname } = new URL(this.baseUrl);
    return {
      addresses: [{ host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || 80) }],
      publication: {
        method,
        path: `${pathname.replace(/\/$/, '')}${path}`,
        headers,
        body,
        type,
        events,
      },
      fanOut,
    };
  }

  /**
   * @param {{ type: string; data: object }} event
   * @param {number} events
   */
  #publication(event, events) {
    const adapter = this.#adapter;
    if (events === 1) return adapter.publish(this.#access, event);
    if (!adapter.publishBatch) throw new Error(`${this.name} publishes one event at a time`);
    const batch = Array.from({ length: events }, () => event);
    return adapter.publishBatch(this.#access, batch);
  }

  async stop() {
    await this.#adapter.tearDown?.(this.#access);
  }
}

/** @param {string} baseUrl */
function checked(baseUrl) {
  const { protocol } = new URL(baseUrl);
  if (protocol !== 'http:') throw new TypeError(`${baseUrl}: only http:// can be measured`);
  return baseUrl.replace(/\/+$/, '');
}

/**
 * Handles a few items at a time, and returns the results in order.
 * @template T
 * @template U
 * @param {readonly T[]} items
 * @param {(item: T, index: number) => Promise<U> | undefined} handle
 * @returns {Promise<U[]>}
 */
async function inTurns(items, handle) {
  /** @type {any[]} */
  const results = [];
  const rest = items.entries();
  const turn = async () => {
    for (const [index, item] of rest) results[index] = await handle(item, index);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, turn));
  return results;
}

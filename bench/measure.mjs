/**
 * One measured window: whoever sends is started, gets some time to settle, is observed for a while,
 * and stopped; then everything that is still owed has to arrive.
 */
import { nowUs, until } from './clock.mjs';
import { machineCpuUs, processCpuUs, treeCpuUs } from './cpu.mjs';

/** What is owed has to arrive at least this often; longer than the product's second retry. */
const PATIENCE_MS = 20_000;
const POLL_MS = 20;

/**
 * @typedef {object} Parts the processes of a run
 * @property {import('./child.mjs').Child} receiver
 * @property {import('./child.mjs').Child} load
 * @property {import('./child.mjs').Child} raw
 * @property {import('./product.mjs').Product} [product]
 * @property {import('./stores.mjs').Store} [postgres]
 * @property {import('./stores.mjs').Store} [redis]
 */

/**
 * @typedef {object} Plan
 * @property {'load' | 'raw'} sender
 * @property {number} fanOut
 * @property {number} rampMs before the window
 * @property {number} windowMs
 * @property {object} settings of the sender
 */

/**
 * @typedef {object} Window what was seen
 * @property {number} deliveriesPerS
 * @property {import('./histogram.mjs').Summary} latency from publishing to the receiver
 * @property {import('./histogram.mjs').Summary} [answerLatency] from publishing to its answer
 * @property {import('./histogram.mjs').Summary} [lateness] of the load generator behind its schedule
 * @property {Record<string, number | null>} cpuUsPerDelivery
 * @property {number | null} othersBusy share of all cores, 0 to 1, that went to anything else
 * @property {number} events
 * @property {number} refused
 * @property {string[]} quotes answers to some of those
 * @property {number} deliveries
 * @property {number} missing
 * @property {number} duplicates
 * @property {number} misdirected
 */

export class Measurement {
  #parts;
  #cores;
  #nextSequence = 0;

  /**
   * @param {Parts} parts
   * @param {number} cores
   */
  constructor(parts, cores) {
    this.#parts = parts;
    this.#cores = cores;
  }

  /**
   * @param {Plan} plan
   * @returns {Promise<Window>}
   */
  async window({ sender: name, fanOut, rampMs, windowMs, settings }) {
    const { receiver, load } = this.#parts;
    const sender = this.#parts[name];
    const first = this.#nextSequence;
    const fromUs = nowUs() + rampMs * 1e3;
    const toUs = fromUs + windowMs * 1e3;
    receiver.onNotice = (received) => load.tell('received', received);
    await receiver.call('begin', { first, fanOut, fromUs, toUs, reportsProgress: name === 'load' });
    await sender.call('start', { ...settings, first, fanOut, fromUs, toUs });
    await until(fromUs);
    const before = this.#cpu(name);
    await until(toUs);
    const after = this.#cpu(name);
    const sent = await sender.call('stop');
    this.#nextSequence = first + sent.events;
    const missing = await this.#drained(sent);
    const seen = await receiver.call('end');
    const { events, refused, quotes = [], answerLatency, lateness } = sent;
    const { latency, received, duplicates, misdirected } = seen;
    return {
      deliveriesPerS: seen.inWindow / (windowMs / 1e3),
      latency,
      answerLatency,
      lateness,
      ...perDelivery(before, after, seen.inWindow, windowMs * this.#cores * 1e3),
      events,
      refused: refused.length,
      quotes,
      deliveries: received,
      missing,
      duplicates,
      misdirected,
    };
  }

  /**
   * Waits until nothing is missing, or for long enough to know that it will not come.
   * @param {{ events: number; refused: number[] }} sent
   */
  async #drained({ events, refused }) {
    const { receiver } = this.#parts;
    let missing = Infinity;
    let progressUs = nowUs();
    while (nowUs() - progressUs < PATIENCE_MS * 1e3) {
      const now = await receiver.call('missing', { events, refused });
      if (now === 0) return 0;
      if (now < missing) progressUs = nowUs();
      missing = now;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    return missing;
  }

  /** @param {'load' | 'raw'} sender */
  #cpu(sender) {
    const { product, postgres, redis, receiver } = this.#parts;
    // The client alone uses none of these; what they do meanwhile is not its doing.
    const used = sender === 'load' ? { product, postgres, redis } : {};
    return {
      product: cpuOf(used.product, processCpuUs),
      postgres: cpuOf(used.postgres, treeCpuUs),
      redis: cpuOf(used.redis, processCpuUs),
      receiver: processCpuUs(receiver.pid),
      sender: processCpuUs(this.#parts[sender].pid),
      machine: machineCpuUs(),
    };
  }
}

/** @typedef {Record<string, number | null>} Cpu microseconds by process; null where nobody knows */

/**
 * @param {{ pid: number | undefined } | undefined} part 0 for one that does not take part
 * @param {(pid: number) => number | null} read
 */
function cpuOf(part, read) {
  if (!part) return 0;
  return part.pid === undefined ? null : read(part.pid);
}

/**
 * @param {Cpu} before
 * @param {Cpu} after
 * @param {number} deliveries
 * @param {number} capacityUs of all cores during the window
 * @returns {Pick<Window, 'cpuUsPerDelivery' | 'othersBusy'>}
 */
function perDelivery(before, after, deliveries, capacityUs) {
  /** @param {string} name */
  const used = (name) => {
    const [start, end] = [before[name], after[name]];
    return typeof start === 'number' && typeof end === 'number' ? end - start : null;
  };
  const names = ['product', 'postgres', 'redis', 'receiver', 'sender'];
  const parts = names.map((name) => /** @type {const} */ ([name, used(name)]));
  const total = parts.some(([, us]) => us === null)
    ? null
    : parts.reduce((sum, [, us]) => sum + (us ?? 0), 0);
  const machine = used('machine');
  const perOne = [...parts, /** @type {const} */ (['total', total])].map(([name, us]) => [
    name,
    us === null || deliveries === 0 ? null : us / deliveries,
  ]);
  return {
    cpuUsPerDelivery: Object.fromEntries(perOne),
    othersBusy: machine === null || total === null ? null : (machine - total) / capacityUs,
  };
}

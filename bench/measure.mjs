/**
 * One measured window: the sender is started, gets some time to settle, is measured for a while, and
 * is stopped; then all pending deliveries have to arrive. Or a backlog: it is built up, and measured
 * while it drains.
 */
import { nowUs, until } from './clock.mjs';
import { machineCpuUs, processCpuUs, treeCpuUs } from './cpu.mjs';
import { cpuOf, perDelivery } from './cpu-per-delivery.mjs';

/** Pending deliveries are lost if none arrives for so long; longer than the product's second retry. */
const ARRIVAL_TIMEOUT_MS = 20_000;
const POLL_MS = 20;
/** The window of a backlog, of which only the arrivals count. */
const NO_WINDOW = { fromUs: 0, toUs: 0 };

/**
 * @typedef {object} Parts the processes of a run
 * @property {import('./child.mjs').Child} receiver
 * @property {import('./child.mjs').Child} load
 * @property {import('./child.mjs').Child} raw
 * @property {readonly import('./product.mjs').Product[]} products
 * @property {import('./stores.mjs').Store} [postgres]
 * @property {import('./stores.mjs').Store} [redis]
 */

/**
 * @typedef {object} Sending
 * @property {'load' | 'raw'} sender
 * @property {boolean} isProduct whether the product is the sender
 * @property {import('./server.mjs').Server['sink']} sink
 * @property {number} fanOut
 */
/** @typedef {Sending & { settings: object }} Flood `settings`: of the sender */
/**
 * @typedef {object} Observation
 * @property {readonly number[]} excluded webhooks that are expected to receive nothing
 * @property {number} rampMs time before the window starts
 * @property {number} windowMs
 */
/** @typedef {Flood & Observation} Plan */

/**
 * @typedef {object} Window what was seen
 * @property {number} deliveriesPerS requests that arrived, with any answer
 * @property {number} successesPerS those that were answered 200
 * @property {import('./histogram.mjs').Summary} latency from publishing to the receiver
 * @property {import('./histogram.mjs').Summary} [answerLatency] from publishing to its answer
 * @property {import('./histogram.mjs').Summary} [lateness] of the load generator behind its schedule
 * @property {Record<string, number | null>} cpuUsPerDelivery
 * @property {number | null} othersBusy share of all cores, 0 to 1, that other programs used
 * @property {number[]} byOrigin requests in the window
 * @property {number} events
 * @property {number} refused
 * @property {string[]} quotes answers to some of those
 * @property {number} deliveries
 * @property {number} missing
 * @property {number} duplicates
 * @property {number} misdirected
 */

/** @typedef {{ atUs: number; received: number }} Arrival what had arrived by then */

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
  async window(plan) {
    const { rampMs, windowMs } = plan;
    const { receiver, load } = this.#parts;
    const sender = this.#parts[plan.sender];
    const fromUs = nowUs() + rampMs * 1e3;
    const times = { fromUs, toUs: fromUs + windowMs * 1e3 };
    receiver.onNotice = (received) => load.notify('received', received);
    await this.#begin(plan, plan.excluded, times);
    await until(times.fromUs);
    const before = this.#cpu(plan);
    await until(times.toUs);
    const after = this.#cpu(plan);
    const sent = await sender.call('stop');
    const { seen, ...counts } = await this.#ended(sent);
    return {
      deliveriesPerS: seen.inWindow / (windowMs / 1e3),
      successesPerS: seen.successes / (windowMs / 1e3),
      latency: seen.latency,
      answerLatency: sent.answerLatency,
      lateness: sent.lateness,
      ...perDelivery(before, after, seen.inWindow, windowMs * this.#cores * 1e3),
      byOrigin: seen.byOrigin,
      ...counts,
    };
  }

  /**
   * Publishes while no worker runs, then starts one.
   * @param {Flood} plan
   * @param {() => Promise<unknown>} deliver
   */
  async backlog(plan, deliver) {
    const { receiver, load } = this.#parts;
    /** @type {Arrival[]} */
    const arrivals = [];
    receiver.onNotice = (received) => arrivals.push({ atUs: nowUs(), received });
    await this.#begin(plan, [], NO_WINDOW);
    await load.call('published');
    const sent = await load.call('stop');
    const arrivedBefore = arrivals.at(-1)?.received ?? 0;
    arrivals.splice(0);
    await deliver();
    const { seen, ...counts } = await this.#ended(sent);
    arrivals.push({ atUs: nowUs(), received: seen.received });
    return { arrivals, arrivedBefore, ...counts };
  }

  /**
   * @param {Flood} plan
   * @param {readonly number[]} excluded
   * @param {{ fromUs: number; toUs: number }} times
   */
  async #begin({ sender, sink, fanOut, settings }, excluded, times) {
    const window = { first: this.#nextSequence, fanOut, ...times };
    const reportsProgress = sender === 'load';
    await this.#parts.receiver.call('begin', { ...window, excluded, sink, reportsProgress });
    await this.#parts[sender].call('start', { ...settings, ...window });
  }

  /** @param {{ events: number; refused: number[]; quotes?: string[] }} sent */
  async #ended(sent) {
    this.#nextSequence += sent.events;
    const missing = await this.#drained(sent);
    const seen = await this.#parts.receiver.call('end');
    return {
      seen,
      events: sent.events,
      refused: sent.refused.length,
      quotes: sent.quotes ?? [],
      deliveries: seen.received,
      missing,
      duplicates: seen.duplicates,
      misdirected: seen.misdirected,
    };
  }

  /**
   * Waits until nothing is missing, or nothing has arrived for too long.
   * @param {{ events: number; refused: number[] }} sent
   */
  async #drained({ events, refused }) {
    const { receiver } = this.#parts;
    let missing = Infinity;
    let progressUs = nowUs();
    while (nowUs() - progressUs < ARRIVAL_TIMEOUT_MS * 1e3) {
      const now = await receiver.call('missing', { events, refused });
      if (now === 0) return 0;
      if (now < missing) progressUs = nowUs();
      missing = now;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    return missing;
  }

  /** @param {Sending} sending */
  #cpu({ sender, isProduct }) {
    const { products, postgres, redis, receiver } = this.#parts;
    return {
      product: cpuOf(sender, isProduct ? products : undefined, processCpuUs),
      postgres: cpuOf(sender, isProduct ? [postgres] : undefined, treeCpuUs),
      redis: cpuOf(sender, isProduct ? [redis] : undefined, processCpuUs),
      receiver: processCpuUs(receiver.pid),
      sender: processCpuUs(this.#parts[sender].pid),
      machine: machineCpuUs(),
    };
  }
}

/** One event to many clients, by the product and by plain Socket.IO in turn. */
import { addressOf } from '../live-rig.mjs';
import { median, milliseconds, newOutcome, note } from '../outcome.mjs';
import { measureWindow } from '../window.mjs';

/** So slow that no two events share a flush. */
const CALM_MESSAGES_PER_S = 20_000;
/** Messages in flight at saturation, and the minimum number of events. */
const WAITING_MESSAGES = 150_000;
const MIN_WAITING_EVENTS = 30;
const CROWDED_EVENTS_PER_S = 20;

/** @typedef {import('../live-rig.mjs').LiveRig} LiveRig */
/** @typedef {import('../options.mjs').Options} Options */
/** @typedef {import('../outcome.mjs').Outcome} Outcome */

/**
 * @param {LiveRig} rig
 * @param {Options} options
 * @returns {Promise<Outcome>}
 */
export async function cost(rig, options) {
  const outcome = newOutcome();
  for (const clients of options.clients) {
    const ratePerS = Math.max(CALM_MESSAGES_PER_S / clients, 1);
    const { plain, product } = await byTurns(rig, options, { clients, ratePerS }, outcome);
    outcome.figures.push({
      name: `CPU per recipient, one event at a time, ${clients} clients`,
      value: median(product.map(({ cpuUsPerMessage }) => cpuUsPerMessage)),
      plain: median(plain.map(({ cpuUsPerMessage }) => cpuUsPerMessage)),
      unit: 'µs',
      goal: 'no more than plain Socket.IO',
    });
  }
  return outcome;
}

/**
 * @param {LiveRig} rig
 * @param {Options} options
 * @returns {Promise<Outcome>}
 */
export async function saturated(rig, options) {
  const outcome = newOutcome();
  for (const clients of options.clients) {
    const waitingEvents = Math.max(Math.ceil(WAITING_MESSAGES / clients), MIN_WAITING_EVENTS);
    const plan = { clients, waitingEvents };
    const { plain, product } = await byTurns(rig, options, plan, outcome);
    outcome.figures.push(
      {
        name: `messages/s, ${clients} clients`,
        value: median(product.map(({ messagesPerS }) => messagesPerS)),
        plain: median(plain.map(({ messagesPerS }) => messagesPerS)),
        unit: '/s',
        goal: 'at least 6 times plain Socket.IO',
      },
      {
        name: `CPU per recipient at saturation, ${clients} clients`,
        value: median(product.map(({ cpuUsPerMessage }) => cpuUsPerMessage)),
        plain: median(plain.map(({ cpuUsPerMessage }) => cpuUsPerMessage)),
        unit: 'µs',
      },
    );
  }
  return outcome;
}

/**
 * @param {LiveRig} rig
 * @param {Options} options
 * @returns {Promise<Outcome>}
 */
export async function crowded(rig, options) {
  const outcome = newOutcome();
  const plan = { clients: options.crowded, ratePerS: CROWDED_EVENTS_PER_S };
  const { plain, product } = await byTurns(rig, { ...options, rounds: 1 }, plan, outcome);
  outcome.figures.push({
    name: `p99 from publishing to ${options.crowded} recipients, ${CROWDED_EVENTS_PER_S} events/s`,
    value: milliseconds(product[0]?.latency.p99Us),
    plain: milliseconds(plain[0]?.latency.p99Us),
    unit: 'ms',
    goal: '< 150 ms',
  });
  return outcome;
}

/**
 * Measures the same window of plain Socket.IO and of the product, several times.
 * @param {LiveRig} rig
 * @param {Options} options
 * @param {import('../window.mjs').Rate & { clients: number }} plan
 * @param {Outcome} outcome
 */
async function byTurns(rig, options, plan, outcome) {
  const plain = await rig.startPlain();
  const product = await rig.startProduct();
  /** @type {Record<'plain' | 'product', import('../window.mjs').Window[]>} */
  const windows = { plain: [], product: [] };
  for (let round = 0; round < options.rounds; round += 1) {
    for (const name of /** @type {const} */ (['plain', 'product'])) {
      const isPlain = name === 'plain';
      await rig.connect(plan.clients, isPlain ? plain.address : addressOf(product), { isPlain });
      const subject = isPlain
        ? { sender: plain.server, settings: {}, pids: [plain.server.pid] }
        : { sender: rig.load, settings: rig.publishing(product), pids: [product.pid] };
      const window = await measureWindow(rig, subject, { ...options, ...plan });
      windows[name].push(window);
      note(outcome, name, window);
      await rig.all('disconnect');
    }
  }
  await product.stop();
  await plain.server.stop();
  return windows;
}

/** Clients lose their connections, reconnect, and resume. */
import { setTimeout as delay } from 'node:timers/promises';
import { processCpuUs } from '../../cpu.mjs';
import { addressOf } from '../live-rig.mjs';
import { difference, newOutcome } from '../outcome.mjs';

const CUT_EVENTS_PER_S = 20;
const BETWEEN_CUTS_MS = 3_000;
const AWAY_MS = 500;
/** Time before and after a storm. */
const SEEN_EVENTS = 20;
const MISSED_EVENTS = 50;
/** How long the last events of a run may take to arrive. */
const ARRIVAL_TIMEOUT_MS = 20_000;
const POLL_MS = 50;

/** @typedef {import('../live-rig.mjs').LiveRig} LiveRig */
/** @typedef {import('../options.mjs').Options} Options */
/** @typedef {import('../outcome.mjs').Outcome} Outcome */

/**
 * All clients are disconnected, events are published meanwhile, and then all reconnect at once.
 * @param {LiveRig} rig
 * @param {Options} options
 * @returns {Promise<Outcome>}
 */
export async function storm(rig, { storm: clients }) {
  const outcome = newOutcome();
  const product = await rig.startProduct();
  await rig.connect(clients, addressOf(product), { protocol: 'websocket' });
  await rig.all('watch', { everyEvent: true });
  await publish(rig, product, SEEN_EVENTS);
  await seenBy(rig, SEEN_EVENTS);
  await rig.all('cut');
  await publish(rig, product, MISSED_EVENTS);
  const startedAt = performance.now();
  const usedUs = processCpuUs(product.pid);
  const answers = await rig.all('resume');
  const published = SEEN_EVENTS + MISSED_EVENTS;
  const { least, duplicates } = await seenBy(rig, published);
  const seconds = (performance.now() - startedAt) / 1e3;
  const cpuUs = difference(processCpuUs(product.pid), usedUs);
  const recovered = answers.reduce((sum, each) => sum + each.recovered, 0);
  outcome.windows.push({ name: 'storm', clients, seconds, cpuUs, least, duplicates, recovered });
  if (least < published)
    outcome.failures.push(`storm: a client has seen ${least} of ${published} events`);
  if (recovered < clients)
    outcome.failures.push(`storm: ${clients - recovered} clients were notified of a gap`);
  outcome.figures.push(
    {
      name: `${clients} clients back at once, with what they missed`,
      value: seconds,
      unit: 's',
      goal: '< 10 s',
    },
    {
      name: 'CPU of the product for one of them',
      value: cpuUs === null ? null : cpuUs / clients / 1e3,
      unit: 'ms',
    },
  );
  await rig.all('disconnect');
  await product.stop();
  return outcome;
}

/**
 * @param {LiveRig} rig
 * @param {Options} options
 * @returns {Promise<Outcome>}
 */
export async function cuts(rig, { cut: clients, cuts: times }) {
  const outcome = newOutcome();
  const product = await rig.startProduct();
  await rig.connect(clients, addressOf(product), { protocol: 'websocket' });
  await rig.all('watch', { everyEvent: true });
  rig.relayProgressTo(rig.load);
  await rig.load.call('start', {
    ...rig.publishing(product),
    deliveriesPerEvent: 1,
    fromUs: 0,
    toUs: 0,
    ratePerS: CUT_EVENTS_PER_S,
  });
  // Every client needs a last event to resume after.
  while ((await seen(rig)).least === 0) await delay(POLL_MS);
  for (let count = 0; count < times; count += 1) {
    await delay(BETWEEN_CUTS_MS);
    await rig.all('cut');
    await delay(AWAY_MS);
    await rig.all('resume');
  }
  const { events } = await rig.load.call('stop');
  const { least, duplicates } = await seenBy(rig, events);
  outcome.windows.push({ name: 'cuts', clients, times, events, least, duplicates });
  if (least < events) outcome.failures.push(`cuts: a client has seen ${least} of ${events} events`);
  outcome.figures.push(
    {
      name: `events that a client misses, of ${clients} cut ${times} times`,
      value: events - least,
      unit: '',
      goal: '0',
    },
    { name: 'events sent twice to a client, over all', value: duplicates, unit: '' },
  );
  await rig.all('disconnect');
  await product.stop();
  return outcome;
}

/**
 * @param {LiveRig} rig
 * @param {import('../../product.mjs').Product} product
 * @param {number} events
 */
async function publish(rig, product, events) {
  const settings = { ...rig.publishing(product), deliveriesPerEvent: 0, fromUs: 0, toUs: 0 };
  await rig.load.call('start', { ...settings, maxEvents: events });
  await rig.load.call('published');
  await rig.load.call('stop');
}

/**
 * Waits until every client has seen this number of events, at most for the timeout.
 * @param {LiveRig} rig
 * @param {number} events
 */
async function seenBy(rig, events) {
  const deadline = performance.now() + ARRIVAL_TIMEOUT_MS;
  for (;;) {
    const found = await seen(rig);
    if (found.least >= events || performance.now() > deadline) return found;
    await delay(POLL_MS);
  }
}

/**
 * What the clients have seen.
 * @param {LiveRig} rig
 */
async function seen(rig) {
  const all = await rig.all('seen');
  return {
    least: Math.min(...all.map(({ least }) => least)),
    duplicates: all.reduce((sum, { duplicates }) => sum + duplicates, 0),
  };
}

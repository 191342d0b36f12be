/** One measured window of one server: the sender is started, measured for a while, and stopped. */
import { setTimeout as delay } from 'node:timers/promises';
import { nowUs } from '../clock.mjs';
import { machineCpuUs, processCpuUs } from '../cpu.mjs';
import { DATA_BYTES } from './live-rig.mjs';
import { difference } from './outcome.mjs';

/** How long the last messages may take to arrive. */
const ARRIVAL_TIMEOUT_MS = 30_000;
const POLL_MS = 20;

/**
 * @typedef {object} Subject who is measured
 * @property {import('../child.mjs').Child} sender
 * @property {object} settings of it
 * @property {number[]} pids of the server
 */
/**
 * @typedef {object} Rate
 * @property {number} [ratePerS] events, on a fixed schedule
 * @property {number} [waitingEvents] at saturation: how many events may be on their way
 */
/**
 * @typedef {object} Window
 * @property {number} clients
 * @property {number} eventsPerS
 * @property {number} messagesPerS that were received
 * @property {number | null} cpuUsPerMessage of the server's processes
 * @property {number | null} cores that the server used
 * @property {number | null} othersBusy cores that were used by everything else
 * @property {import('../histogram.mjs').Summary} latency the largest of the clients' processes
 * @property {number} published
 * @property {number} missing messages
 * @property {number} extra messages that arrived again
 * @property {number} lost connections
 */

/**
 * @param {import('./live-rig.mjs').LiveRig} rig
 * @param {Subject} subject
 * @param {Rate & { clients: number; rampMs: number; windowMs: number }} plan
 * @returns {Promise<Window>}
 */
export async function measureWindow(rig, { sender, settings, pids }, plan) {
  const { clients, rampMs, windowMs, ratePerS, waitingEvents } = plan;
  const fromUs = nowUs() + rampMs * 1e3;
  const toUs = fromUs + windowMs * 1e3;
  await rig.all('watch', ratePerS === undefined ? {} : { fromUs, toUs });
  rig.relayProgressTo(sender);
  await sender.call('start', {
    ...settings,
    dataBytes: DATA_BYTES,
    deliveriesPerEvent: clients,
    fromUs,
    toUs,
    ...(ratePerS === undefined ? { maxPending: (waitingEvents ?? 1) * clients } : { ratePerS }),
  });
  await delay(rampMs);
  const before = await observe(rig, pids);
  await delay(windowMs);
  const after = await observe(rig, pids);
  const { events, refused } = await sender.call('stop');
  const expected = (events - refused.length) * clients;
  const counts = await arrived(rig, expected);
  const seconds = (after.atUs - before.atUs) / 1e6;
  const messages = after.received - before.received;
  const cpuUs = difference(after.cpuUs, before.cpuUs);
  const machineUs = difference(after.machineUs, before.machineUs);
  return {
    clients,
    eventsPerS: messages / clients / seconds,
    messagesPerS: messages / seconds,
    cpuUsPerMessage: cpuUs === null ? null : cpuUs / messages,
    cores: cpuUs === null ? null : cpuUs / seconds / 1e6,
    othersBusy: cpuUs === null || machineUs === null ? null : (machineUs - cpuUs) / seconds / 1e6,
    latency: slowest(counts.map(({ latency }) => latency)),
    published: events,
    missing: Math.max(expected - receivedBy(counts), 0),
    extra: Math.max(receivedBy(counts) - expected, 0),
    lost: counts.reduce((sum, { losses }) => sum + losses, 0),
  };
}

/**
 * @param {import('./live-rig.mjs').LiveRig} rig
 * @param {number[]} pids
 */
async function observe(rig, pids) {
  const counts = await rig.all('counts');
  const used = pids.map(processCpuUs);
  return {
    atUs: nowUs(),
    received: receivedBy(counts),
    cpuUs: used.some((us) => us === null)
      ? null
      : used.reduce((sum, us) => (sum ?? 0) + (us ?? 0), 0),
    machineUs: machineCpuUs(),
  };
}

/**
 * Waits until this number of messages has arrived, or none has arrived for too long.
 * @param {import('./live-rig.mjs').LiveRig} rig
 * @param {number} expected
 */
async function arrived(rig, expected) {
  const deadline = performance.now() + ARRIVAL_TIMEOUT_MS;
  for (;;) {
    const counts = await rig.all('counts');
    if (receivedBy(counts) >= expected || performance.now() > deadline) return counts;
    await delay(POLL_MS);
  }
}

/** @param {{ received: number }[]} counts */
const receivedBy = (counts) => counts.reduce((sum, { received }) => sum + received, 0);

/**
 * Percentiles of several processes cannot be combined: the largest count.
 * @param {import('../histogram.mjs').Summary[]} summaries
 * @returns {import('../histogram.mjs').Summary}
 */
function slowest(summaries) {
  const worst = (/** @type {'p50Us' | 'p99Us' | 'maxUs'} */ key) => {
    const values = summaries.map((summary) => summary[key]).filter((value) => value !== null);
    return values.length === 0 ? null : Math.max(...values);
  };
  const count = summaries.reduce((sum, summary) => sum + summary.count, 0);
  return { count, p50Us: worst('p50Us'), p99Us: worst('p99Us'), maxUs: worst('maxUs') };
}

/** From publishing to the socket, through the stores. */
import { addressOf } from '../live-rig.mjs';
import { milliseconds, newOutcome, note } from '../outcome.mjs';
import { measureWindow } from '../window.mjs';

const LATENCY_EVENTS_PER_S = 200;

/** @typedef {import('../live-rig.mjs').LiveRig} LiveRig */
/** @typedef {import('../options.mjs').Options} Options */
/** @typedef {import('../outcome.mjs').Outcome} Outcome */

/**
 * One process accepts and stores events, another one has the sockets.
 * @param {LiveRig} rig
 * @param {Options} options
 * @returns {Promise<Outcome>}
 */
export async function latency(rig, options) {
  const outcome = newOutcome();
  const accepting = await rig.startProduct(rig.redis ? { ROLES: 'api,worker' } : {});
  const holding = rig.redis ? await rig.startProduct({ ROLES: 'realtime' }) : accepting;
  const clients = options.listeners;
  await rig.connect(clients, addressOf(holding), { protocol: 'websocket' });
  const subject = {
    sender: rig.load,
    settings: rig.publishing(accepting),
    pids: [...new Set([accepting.pid, holding.pid])],
  };
  const plan = {
    clients,
    ratePerS: LATENCY_EVENTS_PER_S,
    rampMs: options.warmUpMs,
    windowMs: options.scheduleMs,
  };
  note(outcome, 'latency', await measureWindow(rig, subject, plan));
  const [window] = /** @type {import('../window.mjs').Window[]} */ (outcome.windows);
  const stores = rig.redis ? 'PostgreSQL and Redis' : 'PostgreSQL';
  outcome.figures.push(
    {
      name: `p50 from publishing to the socket through ${stores}, ${LATENCY_EVENTS_PER_S} events/s`,
      value: milliseconds(window?.latency.p50Us),
      unit: 'ms',
    },
    {
      name: 'p99 of the same',
      value: milliseconds(window?.latency.p99Us),
      unit: 'ms',
      goal: '< 20 ms',
    },
  );
  await rig.all('disconnect');
  for (const product of new Set([holding, accepting])) await product.stop();
  return outcome;
}

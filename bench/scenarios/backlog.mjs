/**
 * A backlog builds up while no worker runs; then a worker starts and drains it. The rate is compared
 * with the steady rate of a process without a backlog. The worker starts cold; the first and the last
 * tenth do not count.
 *
 * @typedef {import('../bench.mjs').Bench} Bench
 * @typedef {import('../measure.mjs').Arrival} Arrival
 */
import { flood, saturation } from '../plans.mjs';
import { median, medianOf } from '../summary.mjs';

const SCENARIO = 'backlog';
const STEADY = 'steady, fan-out 10';

/** @param {Bench} bench */
export async function backlog(bench) {
  const { options, rig } = bench;
  if (!rig.redis) return bench.skip(SCENARIO, 'processes for single roles need Redis');
  const what = { name: STEADY, scenario: SCENARIO, fanOut: 10 };
  for (let round = 0; round < options.rounds; round += 1) {
    await bench.measure(saturation(options, rig.product, what));
  }
  await rig.stopProducts();
  const drains = [];
  for (let round = 0; round < options.rounds; round += 1) drains.push(await drain(bench));
  const steadyPerS = medianOf(bench.windows, STEADY, ({ deliveriesPerS }) => deliveriesPerS);
  const drainPerS = median(drains.map(({ perS }) => perS));
  return {
    deliveries: options.backlog,
    steadyPerS,
    drainPerS,
    ratio: steadyPerS && drainPerS ? drainPerS / steadyPerS : null,
    drains,
  };
}

/** @param {Bench} bench */
async function drain(bench) {
  const { options, rig } = bench;
  await rig.startProduct({ ROLES: 'api' });
  const { arrivals, arrivedBefore } = await bench.backlog(
    `${options.backlog} deliveries`,
    flood(rig.product, options.backlog),
    () => rig.startProduct({ ROLES: 'worker' }),
  );
  await rig.stopProducts();
  return { arrivedBefore, ...rateOf(arrivals) };
}

/** @param {Arrival[]} arrivals */
function rateOf(arrivals) {
  const first = arrivals[0];
  const last = arrivals.at(-1);
  if (!first || !last) return { perS: 0, seconds: 0 };
  /** @param {number} share */
  const when = (share) =>
    arrivals.find(({ received }) => received >= last.received * share) ?? last;
  const [from, to] = [when(0.1), when(0.9)];
  return {
    perS: (to.received - from.received) / Math.max((to.atUs - from.atUs) / 1e6, 1e-3),
    seconds: (last.atUs - first.atUs) / 1e6,
  };
}

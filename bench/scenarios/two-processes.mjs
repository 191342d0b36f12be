/**
 * Compares two processes with one. Each has all roles, on the same stores. Events are published to
 * both, and each process hands over work that it has no capacity for through Redis.
 *
 * @typedef {import('../bench.mjs').Bench} Bench
 */
import { rawPlan, saturation, warmUp } from '../plans.mjs';
import { medianOf } from '../summary.mjs';

const SCENARIO = 'two-processes';
const FAN_OUTS = [10, 1];

/** @param {Bench} bench */
export async function twoProcesses(bench) {
  const { rig } = bench;
  if (!rig.redis) return bench.skip(SCENARIO, 'a second process needs Redis');
  await take(bench, 'one process', rig.addresses);
  const second = await rig.startProduct();
  await take(bench, 'two processes', rig.addresses);
  await rig.stopProduct(second);
  const ratios = FAN_OUTS.map((fanOut) => {
    const [one, two] = ['one process', 'two processes'].map((who) =>
      medianOf(bench.windows, nameOf(who, fanOut), ({ deliveriesPerS }) => deliveriesPerS),
    );
    return [`fanOut${fanOut}`, one && two ? two / one : null];
  });
  return { twoOverOne: Object.fromEntries(ratios) };
}

/**
 * @param {Bench} bench
 * @param {string} who
 * @param {import('../publisher.mjs').Address[]} addresses of all processes
 */
async function take({ options, rig, measure }, who, addresses) {
  const of = { ...rig.product, addresses };
  const plans = FAN_OUTS.map((fanOut) =>
    saturation(options, of, { name: nameOf(who, fanOut), scenario: SCENARIO, fanOut }),
  );
  const raw = options.scenarios.has('raw') ? [rawPlan(options, SCENARIO)] : [];
  for (const plan of plans) await measure(warmUp(options, plan));
  for (let round = 0; round < options.rounds; round += 1) {
    for (const plan of [...raw, ...plans]) await measure(plan);
  }
  for (const plan of raw) await measure(plan);
}

/**
 * @param {string} who
 * @param {number} fanOut
 */
const nameOf = (who, fanOut) => `${who}, fan-out ${fanOut}`;

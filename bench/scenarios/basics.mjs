/**
 * Throughput and latency. The raw client and the servers take turns in short windows, so that a
 * machine that becomes slower or busier affects all of them.
 *
 * @typedef {import('../bench.mjs').Bench} Bench
 * @typedef {import('../plans.mjs').Of} Of
 */
import { atRate, rawPlan, saturation, warmUp } from '../plans.mjs';

const SCENARIO = 'basics';

/** Deliveries per second, and recipients of each event. */
const RATES = [
  { deliveriesPerS: 200, fanOut: 1 },
  { deliveriesPerS: 200, fanOut: 10 },
  { deliveriesPerS: 2_000, fanOut: 10 },
  // Last: the machine may not sustain it, and its backlog would affect the windows after it.
  { deliveriesPerS: 2_000, fanOut: 1 },
];

/**
 * @param {Bench} bench
 * @param {readonly Of[]} contenders
 */
export async function basics(bench, contenders) {
  const { options } = bench;
  const raw = options.scenarios.has('raw') ? [rawPlan(options, SCENARIO)] : [];
  const atMost = contenders.flatMap((of) => saturations(options, of));
  const rates = options.scenarios.has('latency')
    ? RATES.flatMap((rate) => contenders.map((of) => ({ rate, of })))
    : [];
  // The next scenario needs a server that is warm.
  const firsts = atMost.length > 0 ? atMost : contenders.map(warmest(options));
  for (const plan of [...raw, ...firsts]) await bench.measure(warmUp(options, plan));
  for (let round = 0; round < options.rounds; round += 1) {
    for (const plan of [...raw, ...atMost]) await bench.measure(plan);
  }
  // The last window of a server needs a raw-client window after it too.
  if (atMost.length > 0) for (const plan of raw) await bench.measure(plan);
  for (const { rate, of } of rates) {
    const name = `${of.server.name}, ${rate.deliveriesPerS}/s at fan-out ${rate.fanOut}`;
    await bench.measure(atRate(options, of, { name, scenario: SCENARIO, ...rate }));
  }
}

/**
 * @param {import('../options.mjs').Options} options
 * @param {Of} of
 */
const saturations = (options, of) =>
  [10, 1]
    .filter((fanOut) => options.scenarios.has(`fanout${fanOut}`))
    .map((fanOut) => atFanOut(options, of, fanOut));

/** @param {import('../options.mjs').Options} options */
const warmest = (options) => (/** @type {Of} */ of) => atFanOut(options, of, 10);

/**
 * @param {import('../options.mjs').Options} options
 * @param {Of} of
 * @param {number} fanOut
 */
const atFanOut = (options, of, fanOut) =>
  saturation(options, of, {
    name: `${of.server.name}, fan-out ${fanOut}`,
    scenario: SCENARIO,
    fanOut,
  });

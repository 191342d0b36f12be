/**
 * The product at saturation when a request publishes many events, beside the raw client: the cost
 * of the deliveries without an HTTP request for each event.
 *
 * @typedef {import('../bench.mjs').Bench} Bench
 */
import { rawPlan, saturation, warmUp } from '../plans.mjs';

const SCENARIO = 'batches';
/** Pending deliveries are limited, so the product would wait for events with a larger batch. */
const EVENTS_PER_REQUEST = 20;

/** The name of the windows, for the figures. @param {number} fanOut */
export const inBatches = (fanOut) => `in batches, fan-out ${fanOut}`;

/** @param {Bench} bench */
export async function batches({ options, rig, measure }) {
  const plans = [10, 1].map((fanOut) =>
    saturation(options, rig.product, {
      name: inBatches(fanOut),
      scenario: SCENARIO,
      fanOut,
      events: EVENTS_PER_REQUEST,
    }),
  );
  const raw = rawPlan(options, SCENARIO);
  for (const plan of plans) await measure(warmUp(options, plan));
  for (let round = 0; round < options.rounds; round += 1) {
    for (const plan of [raw, ...plans]) await measure(plan);
  }
  await measure(raw);
  return undefined;
}

/**
 * One webhook takes 14 s to answer and thousands of events wait for it. Measures the latency of the 99
 * other webhooks, at a rate that the product sustains easily.
 *
 * @typedef {import('../bench.mjs').Bench} Bench
 */
import { eventType } from '../event-types.mjs';
import { atRate } from '../plans.mjs';
import { medianOf } from '../summary.mjs';

const SCENARIO = 'slow';
const SLOW = 0;
const WITHOUT = '99 healthy webhooks, 2000/s';
const WITH = '99 healthy, one slow, 2000/s';
const AT_ONCE = 500;

/** @param {Bench} bench */
export async function slow(bench) {
  const { options, rig } = bench;
  let left = 0;
  const what = { scenario: SCENARIO, fanOut: 10, deliveriesPerS: 2_000, excluded: [SLOW] };
  for (let round = 0; round < options.rounds; round += 1) {
    const ids = await rig.product.server.register(rig.origins, SCENARIO);
    const of = { ...rig.product, set: SCENARIO };
    await bench.measure(atRate(options, of, { ...what, name: WITHOUT }));
    await rig.receiver.call('behave', [{ webhook: SLOW, delayMs: options.slowMs }]);
    await publishToSlow(bench);
    await bench.measure(atRate(options, of, { ...what, name: WITH }));
    // Removed before the webhook answers again: otherwise its backlog would be sent.
    await rig.product.server.remove(ids);
    await rig.receiver.call('behave', []);
    left = Math.max(left, await rig.settled());
  }
  const [without, withSlow] = [WITHOUT, WITH].map((name) =>
    medianOf(bench.windows, name, ({ latency }) => latency.p99Us),
  );
  return {
    p99WithoutUs: without,
    p99WithUs: withSlow,
    p99Ratio: without && withSlow ? withSlow / without : null,
    notSettled: left,
  };
}

/** @param {Bench} bench */
async function publishToSlow({ options, rig }) {
  const event = { type: eventType(1, SLOW, SCENARIO), data: { waits: true } };
  for (let rest = options.waiting; rest > 0; rest -= AT_ONCE) {
    const events = Array.from({ length: Math.min(rest, AT_ONCE) }, () => event);
    await rig.call('POST', '/api/v1/events/batch', { events });
  }
}

/**
 * Three in ten webhooks answer 500 to every request, compared with the same webhooks without failures.
 * Retries end after two seconds, to keep the run short; then pending deliveries are canceled with
 * their webhooks.
 *
 * @typedef {import('../bench.mjs').Bench} Bench
 */
import { saturation } from '../plans.mjs';
import { WEBHOOKS } from '../receipts.mjs';
import { medianOf } from '../summary.mjs';

const SCENARIO = 'failing';
const NONE = 'none failing, fan-out 10';
const SOME = '30 % failing, fan-out 10';
const SETTINGS = { retryPolicy: { schedule: [500, 1_500] } };

/** The failing webhooks: three of each group of ten. */
const isFailing = (/** @type {number} */ webhook) => webhook % 10 < 3;
const FAILING = Array.from({ length: WEBHOOKS }, (_, webhook) => webhook).filter(isFailing);

/** @param {Bench} bench */
export async function failing(bench) {
  const { options, rig } = bench;
  let left = 0;
  for (let round = 0; round < options.rounds; round += 1) {
    const ids = await rig.product.server.register(rig.origins, SCENARIO, SETTINGS);
    const of = { ...rig.product, set: SCENARIO };
    const what = { scenario: SCENARIO, fanOut: 10 };
    await bench.measure(saturation(options, of, { ...what, name: NONE }));
    await rig.receiver.call(
      'behave',
      FAILING.map((webhook) => ({ webhook, status: 500 })),
    );
    await bench.measure(saturation(options, of, { ...what, name: SOME, excluded: FAILING }));
    await rig.product.server.remove(ids);
    await rig.receiver.call('behave', []);
    left = Math.max(left, await rig.settled());
  }
  /** @param {(window: import('../measure.mjs').Window) => number} figure */
  const ratio = (figure) => {
    const [none, some] = [NONE, SOME].map((name) => medianOf(bench.windows, name, figure));
    return none && some ? some / none : null;
  };
  return {
    requests: ratio(({ deliveriesPerS }) => deliveriesPerS),
    toHealthy: ratio(({ byOrigin }) => sum(byOrigin.filter((_, webhook) => !isFailing(webhook)))),
    notSettled: left,
  };
}

/** @param {number[]} values */
const sum = (values) => values.reduce((total, value) => total + value, 0);

/** The figures to compare before and after a change, as ratios within one run where possible. */

import { inBatches } from './scenarios/batches.mjs';

/** @typedef {{ what: string; value: number | null | undefined; unit: string; digits: number }} Ratio */

/**
 * @param {import('./summary.mjs').Row[]} rows
 * @param {Record<string, any>} figures of the scenarios, by name
 * @param {readonly string[]} peers names of the other servers
 * @returns {Ratio[]} only of what was measured
 */
export function ratiosOf(rows, figures, peers) {
  /** @param {string} name */
  const row = (name) => rows.find((candidate) => candidate.name === name);
  const { failing, slow, backlog, memory, growth } = figures;
  const twoOverOne = figures['two-processes']?.twoOverOne;
  const wide = row('product, fan-out 10');
  const single = row('product, fan-out 1');
  return [
    times('fan-out 10, of the raw client', wide?.shareOfRaw),
    micros('fan-out 10, CPU-µs per delivery in all', wide?.cpuUsPerDelivery['total']),
    times('fan-out 1, of the raw client', single?.shareOfRaw),
    micros('fan-out 1, CPU-µs per delivery in all', single?.cpuUsPerDelivery['total']),
    ...[10, 1].flatMap((fanOut) => [
      times(`in batches, fan-out ${fanOut}, of the raw client`, row(inBatches(fanOut))?.shareOfRaw),
      micros(
        `in batches, fan-out ${fanOut}, CPU-µs per delivery in all`,
        row(inBatches(fanOut))?.cpuUsPerDelivery['total'],
      ),
    ]),
    millis('200/s at fan-out 1, p50', row('product, 200/s at fan-out 1')?.latencyP50Us),
    millis('200/s at fan-out 1, p99', row('product, 200/s at fan-out 1')?.latencyP99Us),
    millis('2000/s at fan-out 10, p99', row('product, 2000/s at fan-out 10')?.latencyP99Us),
    millis('2000/s at fan-out 1, p99', row('product, 2000/s at fan-out 1')?.latencyP99Us),
    times('two processes over one, fan-out 10', twoOverOne?.fanOut10),
    times('two processes over one, fan-out 1', twoOverOne?.fanOut1),
    times('30 % failing over none, requests', failing?.requests),
    times('30 % failing over none, to the 70 healthy', failing?.toHealthy),
    times('p99 beside a slow webhook over without', slow?.p99Ratio),
    times('drain of a backlog over the steady rate', backlog?.ratio),
    mebibytes('memory, growth in MiB per minute', memory?.slopeMibPerMin),
    times('cost per delivery, most rows over fewest', growth?.costRatio),
    ...peers.flatMap((peer) => [
      times(`product over ${peer}, fan-out 10`, over(wide, row(`${peer}, fan-out 10`))),
      times(`product over ${peer}, fan-out 1`, over(single, row(`${peer}, fan-out 1`))),
    ]),
  ].filter(({ value }) => value !== undefined);
}

/** @typedef {import('./summary.mjs').Row} Row */
/** @typedef {number | null | undefined} Value */

/**
 * @param {Row | undefined} ours
 * @param {Row | undefined} theirs
 * @returns {Value}
 */
const over = (ours, theirs) =>
  ours?.deliveriesPerS && theirs?.deliveriesPerS
    ? ours.deliveriesPerS / theirs.deliveriesPerS
    : undefined;

/**
 * @param {string} what
 * @param {Value} value
 * @returns {Ratio}
 */
const times = (what, value) => ({ what, value, unit: '', digits: 2 });

/**
 * @param {string} what
 * @param {Value} value
 * @returns {Ratio}
 */
const micros = (what, value) => ({ what, value, unit: 'µs', digits: 0 });

/**
 * @param {string} what
 * @param {Value} us
 * @returns {Ratio}
 */
const millis = (what, us) => ({
  what,
  value: typeof us === 'number' ? us / 1e3 : us,
  unit: 'ms',
  digits: 1,
});

/**
 * @param {string} what
 * @param {Value} value
 * @returns {Ratio}
 */
const mebibytes = (what, value) => ({ what, value, unit: 'MiB', digits: 1 });

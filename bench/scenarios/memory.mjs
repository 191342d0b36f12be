/**
 * The resident memory of the product at saturation, and its growth. Caches fill in the first half of
 * the window; the slope is that of the second half.
 *
 * @typedef {import('../bench.mjs').Bench} Bench
 * @typedef {{ s: number; mib: number }} Sample
 */
import { residentKib } from '../cpu.mjs';
import { saturation } from '../plans.mjs';

const SCENARIO = 'memory';
const SAMPLES = 120;

/** @param {Bench} bench */
export async function memory(bench) {
  const { options, rig } = bench;
  const { pid } = rig.mainProduct;
  if (residentKib(pid) === null) return bench.skip(SCENARIO, 'it needs /proc');
  /** @type {Sample[]} */
  const samples = [];
  const sample = () => samples.push({ s: performance.now() / 1e3, mib: mibOf(pid) });
  const timer = setInterval(sample, options.memoryMs / SAMPLES);
  const lengths = { ...options, windowMs: options.memoryMs };
  const name = 'watched for memory, fan-out 10';
  try {
    await bench.measure(saturation(lengths, rig.product, { name, scenario: SCENARIO, fanOut: 10 }));
  } finally {
    clearInterval(timer);
  }
  const half = samples.slice(samples.length >> 1);
  return {
    slopeMibPerMin: slope(half) * 60,
    firstMib: samples[0]?.mib ?? null,
    lastMib: samples.at(-1)?.mib ?? null,
    maxMib: Math.max(...samples.map(({ mib }) => mib)),
    samples,
  };
}

/** @param {number} pid */
const mibOf = (pid) => (residentKib(pid) ?? 0) / 1024;

/**
 * The slope by least squares, so that a single garbage collection has little influence.
 * @param {Sample[]} samples
 * @returns {number} MiB per second
 */
function slope(samples) {
  const mean = (/** @type {(sample: Sample) => number} */ of) =>
    samples.reduce((sum, sample) => sum + of(sample), 0) / samples.length;
  const [meanS, meanMib] = [mean(({ s }) => s), mean(({ mib }) => mib)];
  const covariance = mean(({ s, mib }) => (s - meanS) * (mib - meanMib));
  return covariance / mean(({ s }) => (s - meanS) ** 2);
}

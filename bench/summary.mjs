/** Computes the figures of a run from its windows: medians, and the ratio to the raw client. */
import { RAW } from './plans.mjs';

/** @typedef {import('./bench.mjs').NamedWindow} NamedWindow */

/**
 * @param {readonly number[]} values
 * @returns {number | null} null for none
 */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle];
  if (upper === undefined) return null;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? upper)) / 2;
}

/**
 * Combines the measured windows of one name.
 * @param {readonly NamedWindow[]} windows
 * @param {string} name
 * @param {(window: NamedWindow) => number | null | undefined} figure
 */
export const medianOf = (windows, name, figure) =>
  median(
    windows
      .filter((window) => window.isMeasured && window.name === name)
      .map(figure)
      .filter((value) => typeof value === 'number'),
  );

/**
 * One row per name, in the order in which they first came.
 * @param {readonly NamedWindow[]} windows
 */
export function summarise(windows) {
  const measured = windows.filter(({ isMeasured }) => isMeasured);
  const names = [...new Set(measured.map(({ name }) => name))];
  return names.map((name) => {
    const first = measured.find((window) => window.name === name);
    /** @param {(window: NamedWindow) => number | null | undefined} figure */
    const of = (figure) => medianOf(measured, name, figure);
    const processes = Object.keys(first?.cpuUsPerDelivery ?? {});
    return {
      name,
      offeredPerS: first?.offeredPerS ?? null,
      windows: measured.filter((window) => window.name === name).length,
      deliveriesPerS: of(({ deliveriesPerS }) => deliveriesPerS),
      successesPerS: of(({ successesPerS }) => successesPerS),
      shareOfRaw: median(sharesOfRaw(measured, name)),
      cpuUsPerDelivery: Object.fromEntries(
        processes.map((process) => [
          process,
          of(({ cpuUsPerDelivery }) => cpuUsPerDelivery[process]),
        ]),
      ),
      othersBusy: of(({ othersBusy }) => othersBusy),
      latencyP50Us: of(({ latency }) => latency.p50Us),
      latencyP99Us: of(({ latency }) => latency.p99Us),
      latencyMaxUs: of(({ latency }) => latency.maxUs),
      answerP50Us: of(({ answerLatency }) => answerLatency?.p50Us),
      answerP99Us: of(({ answerLatency }) => answerLatency?.p99Us),
      latenessP99Us: of(({ lateness }) => lateness?.p99Us),
    };
  });
}

/** @typedef {ReturnType<typeof summarise>[number]} Row */

/**
 * The ratio of each window to the raw client's windows just before and after it in the same scenario.
 * @param {readonly NamedWindow[]} windows
 * @param {string} name
 */
function sharesOfRaw(windows, name) {
  return windows.flatMap((window, index) => {
    if (window.name !== name) return [];
    /** @param {NamedWindow} other */
    const isRaw = (other) => other.name === RAW && other.scenario === window.scenario;
    const before = windows.slice(0, index).findLast(isRaw);
    const after = windows.slice(index + 1).find(isRaw);
    const raw = [before, after].flatMap((other) => (other ? [other.deliveriesPerS] : []));
    if (raw.length === 0) return [];
    return [window.deliveriesPerS / (raw.reduce((a, b) => a + b) / raw.length)];
  });
}

/**
 * The deliveries of the whole run, warm-up included.
 * @param {readonly import('./bench.mjs').Counts[]} parts windows and backlogs
 */
export function totals(parts) {
  const sum = (/** @type {(part: typeof parts[number]) => number} */ figure) =>
    parts.reduce((total, part) => total + figure(part), 0);
  return {
    events: sum(({ events }) => events),
    refused: sum(({ refused }) => refused),
    deliveries: sum(({ deliveries }) => deliveries),
    missing: sum(({ missing }) => missing),
    duplicates: sum(({ duplicates }) => duplicates),
    misdirected: sum(({ misdirected }) => misdirected),
  };
}

/** The results of a scenario, and helpers for figures. */

/**
 * @typedef {object} Figure
 * @property {string} name
 * @property {number | null} value
 * @property {string} unit
 * @property {string} [goal]
 * @property {number | null} [plain] the figure of plain Socket.IO
 */
/**
 * @typedef {object} Outcome
 * @property {Figure[]} figures
 * @property {object[]} windows
 * @property {string[]} failures
 */

/** @returns {Outcome} */
export const newOutcome = () => ({ figures: [], windows: [], failures: [] });

/**
 * @param {Outcome} outcome
 * @param {string} name
 * @param {import('./window.mjs').Window} window
 */
export function note(outcome, name, window) {
  const { clients, missing, extra, lost, messagesPerS, cpuUsPerMessage, latency: times } = window;
  const p99 = times.p99Us === null ? '' : `, p99 ${(times.p99Us / 1e3).toFixed(1)} ms`;
  console.log(
    `${`${name}, ${clients} clients`.padEnd(28)} ${messagesPerS.toFixed(0).padStart(8)}/s, ` +
      `${cpuUsPerMessage?.toFixed(1) ?? '-'} µs each${p99}`,
  );
  outcome.windows.push({ name, ...window });
  if (missing + extra + lost > 0) {
    outcome.failures.push(
      `${name}, ${clients} clients: ${missing} messages missing, ${extra} too many, ${lost} connections lost`,
    );
  }
}

/** @param {(number | null)[]} values */
export function median(values) {
  const known = values.filter((value) => value !== null).sort((a, b) => a - b);
  return known[Math.floor(known.length / 2)] ?? null;
}

/** @param {number | null | undefined} us */
export const milliseconds = (us) => (us === null || us === undefined ? null : us / 1e3);

/**
 * The ratio of two values, if both exist.
 * @param {number | null} after
 * @param {number | null} before
 */
export const difference = (after, before) =>
  after === null || before === null ? null : after - before;

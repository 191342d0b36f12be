/**
 * What is measured, in which order. The client alone and the product take turns in short windows,
 * so that a machine that gets slower or busier meanwhile does so for both.
 */

/** Of the `data` member of an event. */
export const DATA_BYTES = 1024;

/**
 * Requests in flight of the client alone: one per origin, where it is at its fastest. With ten per
 * origin it does a fifth less.
 */
const RAW_IN_FLIGHT = 100;

/** Deliveries that may be owed at saturation: it is this bound that latency there follows from. */
const MAX_OWED = 1_000;
/** Connections that publish at saturation; a fan-out of 1 takes ten times as many publications. */
const CONNECTIONS = { 10: 64, 1: 128 };
/** At a fixed rate: enough that no event waits for one. They are opened as they are needed. */
const CONNECTIONS_AT_RATE = 512;

/** Deliveries per second, and recipients of each event. */
const RATES = [
  { deliveriesPerS: 200, fanOut: 1 },
  { deliveriesPerS: 200, fanOut: 10 },
  { deliveriesPerS: 2_000, fanOut: 10 },
  // Last: it can be more than the machine sustains, and what it leaves behind would be measured too.
  { deliveriesPerS: 2_000, fanOut: 1 },
];

/**
 * @typedef {object} Label
 * @property {string} name
 * @property {boolean} isMeasured false: a warm-up
 * @property {number | null} offeredPerS deliveries; null: as many as it takes
 */
/** @typedef {import('./measure.mjs').Plan & Label} NamedPlan */

/**
 * @param {import('./options.mjs').Options} options
 * @param {{ port: number; token: string } | undefined} target the product; without, only `raw` is possible
 * @returns {NamedPlan[]}
 */
export function plansOf(options, target) {
  const { scenarios } = options;
  const raw = scenarios.has('raw') ? [rawPlan(options)] : [];
  const product = target
    ? [10, 1]
        .filter((fanOut) => scenarios.has(`fanout${fanOut}`))
        .map((fanOut) => saturation(options, target, fanOut))
    : [];
  const rates =
    target && scenarios.has('latency') ? RATES.map((rate) => atRate(options, target, rate)) : [];
  const rounds = Array.from({ length: options.rounds }, () => [...raw, ...product]);
  return [
    ...warmUps(options, target, [...raw, ...product]),
    ...rounds.flat(),
    // Both neighbours of the last product window, too.
    ...(product.length > 0 ? raw : []),
    ...rates,
  ];
}

/**
 * Code is compiled, connections are opened, caches filled.
 * @param {import('./options.mjs').Options} options
 * @param {{ port: number; token: string } | undefined} target
 * @param {NamedPlan[]} plans
 * @returns {NamedPlan[]}
 */
function warmUps(options, target, plans) {
  const all = plans.length > 0 || !target ? plans : [saturation(options, target, 10)];
  return all.map((plan) => ({ ...plan, windowMs: options.warmUpMs, rampMs: 0, isMeasured: false }));
}

/**
 * @param {import('./options.mjs').Options} options
 * @returns {NamedPlan}
 */
const rawPlan = ({ rampMs, windowMs }) => ({
  name: 'raw',
  isMeasured: true,
  offeredPerS: null,
  sender: 'raw',
  fanOut: 10,
  rampMs,
  windowMs,
  settings: { inFlight: RAW_IN_FLIGHT },
});

/**
 * @param {import('./options.mjs').Options} options
 * @param {{ port: number; token: string }} target
 * @param {number} fanOut
 * @returns {NamedPlan}
 */
const saturation = ({ rampMs, windowMs }, target, fanOut) => ({
  name: `fanout${fanOut}`,
  isMeasured: true,
  offeredPerS: null,
  sender: 'load',
  fanOut,
  rampMs,
  windowMs,
  settings: {
    ...target,
    dataBytes: DATA_BYTES,
    connections: fanOut === 10 ? CONNECTIONS[10] : CONNECTIONS[1],
    maxOwed: MAX_OWED,
  },
});

/**
 * @param {import('./options.mjs').Options} options
 * @param {{ port: number; token: string }} target
 * @param {{ deliveriesPerS: number; fanOut: number }} rate
 * @returns {NamedPlan}
 */
const atRate = ({ rampMs, latencyWindowMs }, target, { deliveriesPerS, fanOut }) => ({
  name: `${deliveriesPerS}/s, fan-out ${fanOut}`,
  isMeasured: true,
  offeredPerS: deliveriesPerS,
  sender: 'load',
  fanOut,
  rampMs,
  windowMs: latencyWindowMs,
  settings: {
    ...target,
    dataBytes: DATA_BYTES,
    connections: CONNECTIONS_AT_RATE,
    ratePerS: deliveriesPerS / fanOut,
  },
});

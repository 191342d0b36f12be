/** The plans of the measured windows: what is sent, at which rate, and for how long. */

/** Size of the `data` member of an event. */
export const DATA_BYTES = 1024;

/**
 * Requests that the raw client has in flight: one per origin, which is its fastest setting. With ten
 * per origin it sends a fifth less.
 */
const RAW_IN_FLIGHT = 100;

/** How many deliveries may be pending at saturation. The latency at saturation follows from it. */
const MAX_PENDING = 1_000;
/** Connections that publish at saturation; a fan-out of 1 takes ten times as many publications. */
const CONNECTIONS = { 10: 64, 1: 128 };
/** Connections at a fixed rate: enough that no event waits for one. Opened when they are needed. */
const CONNECTIONS_AT_RATE = 512;

/** @typedef {import('./options.mjs').Lengths} Lengths */
/**
 * @typedef {object} Label
 * @property {string} name
 * @property {string} scenario its scenario; only windows of one scenario are compared
 * @property {boolean} isMeasured false: a warm-up
 * @property {number | null} offeredPerS deliveries; null: saturation
 */
/** @typedef {import('./measure.mjs').Plan & Label} NamedPlan */
/**
 * @typedef {object} Of whose windows they are
 * @property {import('./server.mjs').Server} server
 * @property {boolean} [isProduct] whether it is the product, whose processes and CPU times are known
 * @property {string} [set]
 * @property {import('./publisher.mjs').Address[]} [addresses] where to publish, if not only to the server's own address
 */

/** The name of the windows of the raw client. */
export const RAW = 'raw client alone';

/**
 * @param {Lengths} lengths
 * @param {string} scenario
 * @returns {NamedPlan}
 */
export const rawPlan = ({ rampMs, windowMs }, scenario) => ({
  name: RAW,
  scenario,
  isMeasured: true,
  offeredPerS: null,
  sender: 'raw',
  isProduct: false,
  sink: { signedWith: 'webhook-', decoder: null },
  fanOut: 10,
  excluded: [],
  rampMs,
  windowMs,
  settings: { inFlight: RAW_IN_FLIGHT },
});

/**
 * Saturation, with a limit on pending deliveries.
 * @param {Lengths} lengths
 * @param {Of} of
 * @param {{ name: string; scenario: string; fanOut: number; excluded?: number[]; events?: number }} what
 *   `events`: in one request
 * @returns {NamedPlan}
 */
export const saturation = (
  { rampMs, windowMs },
  of,
  { fanOut, excluded = [], events = 1, ...label },
) => ({
  ...label,
  isMeasured: true,
  offeredPerS: null,
  ...fromServer(of, fanOut),
  excluded,
  rampMs,
  windowMs,
  settings: {
    ...targetOf(of, fanOut, events),
    connections: fanOut === 10 ? CONNECTIONS[10] : CONNECTIONS[1],
    maxPending: MAX_PENDING,
    // Deliveries that are not expected to arrive must not count as pending.
    deliveriesPerEvent: fanOut * (1 - excluded.length / 100),
  },
});

/**
 * @param {Lengths} lengths
 * @param {Of} of
 * @param {{ name: string; scenario: string; fanOut: number; deliveriesPerS: number; excluded?: number[] }} what
 * @returns {NamedPlan}
 */
export const atRate = (
  { rampMs, latencyWindowMs },
  of,
  { fanOut, deliveriesPerS, excluded = [], ...label },
) => ({
  ...label,
  isMeasured: true,
  offeredPerS: deliveriesPerS,
  ...fromServer(of, fanOut),
  excluded,
  rampMs,
  windowMs: latencyWindowMs,
  settings: {
    ...targetOf(of, fanOut),
    connections: CONNECTIONS_AT_RATE,
    ratePerS: deliveriesPerS / fanOut,
    deliveriesPerEvent: fanOut,
  },
});

/**
 * A number of events, as fast as the server accepts them, without a limit on pending deliveries.
 * @param {Of} of
 * @param {number} deliveries
 * @returns {import('./measure.mjs').Flood}
 */
export const flood = (of, deliveries) => ({
  ...fromServer(of, 10),
  settings: {
    ...targetOf(of, 10),
    connections: CONNECTIONS[10],
    maxEvents: deliveries / 10,
    deliveriesPerEvent: 10,
  },
});

/**
 * A warm-up, in which code is compiled, connections are opened and caches are filled.
 * @param {Lengths} lengths
 * @param {NamedPlan} plan
 * @returns {NamedPlan}
 */
export const warmUp = ({ warmUpMs }, plan) => ({
  ...plan,
  windowMs: warmUpMs,
  rampMs: 0,
  isMeasured: false,
});

/**
 * @param {Of} of
 * @param {number} fanOut
 */
const fromServer = ({ server, isProduct = false }, fanOut) => ({
  sender: /** @type {const} */ ('load'),
  isProduct,
  sink: server.sink,
  fanOut,
});

/**
 * @param {Of} of
 * @param {number} fanOut
 * @param {number} [events] in one request
 */
function targetOf({ server, set, addresses }, fanOut, events) {
  const target = server.target(fanOut, { set, ...(events ? { events } : {}) });
  return { ...target, addresses: addresses ?? target.addresses };
}

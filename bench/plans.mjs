/** The windows that are measured, as plans: what is sent, how much of it, and for how long. */

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

/** @typedef {import('./options.mjs').Lengths} Lengths */
/**
 * @typedef {object} Label
 * @property {string} name
 * @property {string} scenario which it belongs to: only those of one are compared with each other
 * @property {boolean} isMeasured false: a warm-up
 * @property {number | null} offeredPerS deliveries; null: as many as it takes
 */
/** @typedef {import('./measure.mjs').Plan & Label} NamedPlan */
/**
 * @typedef {object} Of whose windows they are
 * @property {import('./server.mjs').Server} server
 * @property {boolean} [isProduct] whose processes are known, and their CPU time with them
 * @property {string} [set]
 * @property {import('./publisher.mjs').Address[]} [addresses] if not only the server's own
 */

/** The name of the windows in which the client alone sends. */
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
 * As many as it takes, with a bound on what is owed.
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
    maxOwed: MAX_OWED,
    // What is not expected to arrive must not stop the load.
    owedPerEvent: fanOut * (1 - excluded.length / 100),
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
    owedPerEvent: fanOut,
  },
});

/**
 * So many events, as fast as they are taken, whatever becomes of them.
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
    owedPerEvent: 10,
  },
});

/**
 * Code is compiled, connections are opened, caches filled.
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

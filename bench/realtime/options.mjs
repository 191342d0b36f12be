/** The command-line flags, and the numbers that follow from them. */
import { parseArgs } from 'node:util';
import { SCENARIOS } from './scenarios.mjs';

const ALL = Object.keys(SCENARIOS);

export const USAGE = `npm run bench:realtime -- [options]

  --quick           few clients, short windows: only to see that it works
  --only <a,b>      some of ${ALL.join(', ')}
  --clients <a,b>   numbers of clients instead of 1000,5000
  --no-redis        without Redis although there is one
  --json <file>     every figure, also of single windows, as JSON
  --dist <dir>      the build to measure (default: dist)
  --profile <dir>   write a CPU profile of every process of the product there, over its whole life

BENCH_DATABASE_URL and BENCH_REDIS_URL name stores to use instead of starting new ones.`;

/**
 * @typedef {object} Sizes
 * @property {number[]} clients
 * @property {number} rounds of the two servers, by turns
 * @property {number} rampMs before a window
 * @property {number} windowMs
 * @property {number} crowded clients whose latency counts
 * @property {number} listeners of the latency through the stores
 * @property {number} warmUpMs before measuring: a process compiles its code while it works
 * @property {number} scheduleMs of the measured part
 * @property {number} idle connections whose memory counts
 * @property {number} idleMs before their memory is measured
 * @property {number} storm clients that come back at once
 * @property {number} cut clients that are cut again and again
 * @property {number} cuts how often
 * @property {number} crowds processes with clients
 * @property {number} maxMs of the whole run
 */

/** @type {Sizes} */
const FULL = {
  clients: [1_000, 5_000],
  rounds: 2,
  rampMs: 1_500,
  windowMs: 6_000,
  crowded: 2_000,
  listeners: 20,
  warmUpMs: 10_000,
  scheduleMs: 15_000,
  idle: 5_000,
  idleMs: 8_000,
  storm: 2_000,
  cut: 500,
  cuts: 6,
  crowds: 3,
  maxMs: 1_800_000,
};
/** @type {Sizes} */
const QUICK = {
  clients: [100],
  rounds: 1,
  rampMs: 300,
  windowMs: 800,
  crowded: 100,
  listeners: 5,
  warmUpMs: 300,
  scheduleMs: 800,
  idle: 100,
  idleMs: 500,
  storm: 100,
  cut: 30,
  cuts: 2,
  crowds: 2,
  maxMs: 300_000,
};

/**
 * @param {string[]} args
 * @throws {TypeError} for an unknown flag or scenario
 */
export function readOptions(args) {
  const { values } = parseArgs({
    args,
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string' },
      clients: { type: 'string' },
      'no-redis': { type: 'boolean', default: false },
      json: { type: 'string' },
      dist: { type: 'string', default: 'dist' },
      profile: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  const sizes = values.quick ? QUICK : FULL;
  return {
    ...sizes,
    clients: values.clients ? numbers(values.clients) : sizes.clients,
    scenarios: chosen(values.only),
    withRedis: !values['no-redis'],
    json: values.json,
    dist: values.dist,
    profile: values.profile,
    isHelp: values.help,
  };
}

/** @typedef {ReturnType<typeof readOptions>} Options */

/** @param {string} list */
function numbers(list) {
  const found = list.split(',').map(Number);
  if (found.every((number) => Number.isInteger(number) && number > 0)) return found;
  throw new TypeError(`No numbers of clients: ${list}\n\n${USAGE}`);
}

/** @param {string | undefined} only */
function chosen(only) {
  const names = only?.split(',').filter(Boolean) ?? ALL;
  const unknown = names.filter((name) => !ALL.includes(name));
  if (unknown.length > 0) throw new TypeError(`No scenario: ${unknown.join(', ')}\n\n${USAGE}`);
  return new Set(names);
}

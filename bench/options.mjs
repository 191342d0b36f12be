/** The command-line flags, and the durations and sizes that follow from them. */
import { parseArgs } from 'node:util';
import { BASICS, SCENARIOS } from './scenarios.mjs';

const ALL = [...BASICS, ...Object.keys(SCENARIOS)];

export const USAGE = `npm run bench -- [options]

  --quick              short windows, one round, small numbers: only to see that it works
  --only <a,b>         some of ${BASICS.join(', ')},
                       ${Object.keys(SCENARIOS).join(', ')}
  --no-redis           without Redis although there is one
  --json <file>        every figure, also of single windows, as JSON
  --dist <dir>         the build to measure (default: dist)
  --profile <dir>      write a CPU profile of every process of the product there, over its whole life

Comparison: the same load, receiver and windows for other servers, which are running already.

  --adapter <file>     the adapter of one, such as bench/adapters/svix.mjs; may be repeated
  --base-url <url>     its URL; one for each --adapter, in the same order
  --no-product         without the product itself
  --receiver-host <h>  the host name of this machine for the servers; the receiver then listens on every address

BENCH_DATABASE_URL and BENCH_REDIS_URL name stores to use instead of starting new ones; DELIVERY_*,
BREAKER_* and EVENT_RETENTION_* are passed to the product.`;

/**
 * @typedef {object} Lengths
 * @property {number} rounds
 * @property {number} warmUpMs
 * @property {number} rampMs
 * @property {number} windowMs at saturation
 * @property {number} latencyWindowMs at a fixed rate
 * @property {number} memoryMs over which memory is watched
 * @property {number} backlog deliveries
 * @property {number} waiting events for the slow webhook
 * @property {number} slowMs how long it takes to answer
 * @property {number[]} rows in the tables
 * @property {number} maxMs of the whole run
 */

/** @type {Lengths} */
const FULL = {
  rounds: 3,
  warmUpMs: 5_000,
  rampMs: 1_000,
  windowMs: 5_000,
  latencyWindowMs: 10_000,
  memoryMs: 120_000,
  backlog: 100_000,
  waiting: 10_000,
  slowMs: 14_000,
  rows: [1e3, 1e5, 1e6],
  maxMs: 2_700_000,
};
/** @type {Lengths} */
const QUICK = {
  rounds: 1,
  warmUpMs: 1_000,
  rampMs: 300,
  windowMs: 1_500,
  latencyWindowMs: 1_500,
  memoryMs: 4_000,
  backlog: 5_000,
  waiting: 500,
  slowMs: 14_000,
  rows: [1e3, 1e4],
  maxMs: 600_000,
};

/**
 * @param {string[]} args
 * @throws {TypeError} for an unknown flag or scenario, or flags that do not fit together
 */
export function readOptions(args) {
  const { values } = parseArgs({
    args,
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string' },
      'no-redis': { type: 'boolean', default: false },
      json: { type: 'string' },
      dist: { type: 'string', default: 'dist' },
      profile: { type: 'string' },
      adapter: { type: 'string', multiple: true, default: [] },
      'base-url': { type: 'string', multiple: true, default: [] },
      'no-product': { type: 'boolean', default: false },
      'receiver-host': { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  const peers = values.adapter.map((adapter, index) => ({
    adapter,
    baseUrl: values['base-url'][index] ?? '',
  }));
  const scenarios = chosen(values.only, peers.length > 0);
  const isProductWanted = !values['no-product'] && [...scenarios].some((name) => name !== 'raw');
  if (values.adapter.length !== values['base-url'].length) {
    throw new TypeError(`Every --adapter needs a --base-url\n\n${USAGE}`);
  }
  return {
    ...(values.quick ? QUICK : FULL),
    isQuick: values.quick,
    scenarios,
    peers,
    isProductWanted,
    withRedis: !values['no-redis'],
    json: values.json,
    dist: values.dist,
    profile: values.profile,
    receiverHost: values['receiver-host'],
    isHelp: values.help,
  };
}

/**
 * @param {string | undefined} only
 * @param {boolean} isComparison only scenarios that every server supports
 */
function chosen(only, isComparison) {
  const names = only?.split(',').filter(Boolean) ?? (isComparison ? BASICS : ALL);
  const unknown = names.filter((name) => !ALL.includes(name));
  if (unknown.length > 0) throw new TypeError(`No scenario: ${unknown.join(', ')}\n\n${USAGE}`);
  return new Set(names);
}

/** @typedef {ReturnType<typeof readOptions>} Options */

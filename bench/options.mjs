/** What a run does: flags, and the lengths that follow from them. */
import { parseArgs } from 'node:util';

export const SCENARIOS = ['raw', 'fanout10', 'fanout1', 'latency'];

export const USAGE = `npm run bench -- [options]

  --quick            short windows, one round: does it work at all, in less than 40 s
  --only <a,b>       some of ${SCENARIOS.join(', ')}
  --no-redis         without Redis although there is one
  --json <file>      every figure, also of single windows, as JSON
  --dist <dir>       the build to measure (default: dist)
  --profile <dir>    write a CPU profile of the product there, over the whole run

BENCH_DATABASE_URL and BENCH_REDIS_URL give stores to use instead of starting some; DELIVERY_* is
handed to the product.`;

const FULL = {
  rounds: 3,
  warmUpMs: 5_000,
  rampMs: 1_000,
  windowMs: 5_000,
  latencyWindowMs: 10_000,
  maxMs: 600_000,
};
const QUICK = {
  rounds: 1,
  warmUpMs: 1_000,
  rampMs: 300,
  windowMs: 1_500,
  latencyWindowMs: 1_500,
  maxMs: 120_000,
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
      only: { type: 'string', default: SCENARIOS.join(',') },
      'no-redis': { type: 'boolean', default: false },
      json: { type: 'string' },
      dist: { type: 'string', default: 'dist' },
      profile: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  const only = values.only.split(',').filter(Boolean);
  const unknown = only.filter((name) => !SCENARIOS.includes(name));
  if (unknown.length > 0) throw new TypeError(`No scenario: ${unknown.join(', ')}\n\n${USAGE}`);
  return {
    ...(values.quick ? QUICK : FULL),
    isQuick: values.quick,
    scenarios: new Set(only),
    withRedis: !values['no-redis'],
    json: values.json,
    dist: values.dist,
    profile: values.profile,
    isHelp: values.help,
  };
}

/** @typedef {ReturnType<typeof readOptions>} Options */

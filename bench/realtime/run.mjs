/**
 * The benchmark of live connections: starts everything, measures one scenario after the other,
 * prints the figures, and stops everything. The exit code is 1 when a message was lost or duplicated;
 * there is no threshold on speed. See ../README.md.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { dirname, resolve } from 'node:path';
import { Lifetime } from '../lifetime.mjs';
import { LiveRig } from './live-rig.mjs';
import { readOptions, USAGE } from './options.mjs';
import { SCENARIOS } from './scenarios.mjs';

/**
 * @param {import('./options.mjs').Options} options
 * @param {Lifetime} lifetime
 */
async function run(options, lifetime) {
  const rig = await LiveRig.start(lifetime, options);
  const machine = {
    cores: availableParallelism(),
    cpu: cpus()[0]?.model ?? 'unknown',
    node: process.version,
    load: loadavg(),
    postgres: rig.postgres?.version,
    redis: rig.redis?.version ?? null,
  };
  const { cores, cpu, node, load, postgres, redis } = machine;
  console.log(`${cores} cores (${cpu}), Node ${node}, everything on this machine`);
  console.log(
    `PostgreSQL ${postgres}, Redis ${redis ?? 'not installed'}; load ${load.join(' ')}\n`,
  );
  /** @type {Record<string, import('./outcome.mjs').Outcome>} */
  const outcomes = {};
  for (const [name, scenario] of Object.entries(SCENARIOS)) {
    if (options.scenarios.has(name)) outcomes[name] = await scenario(rig, options);
  }
  return { machine, options: { ...options, scenarios: [...options.scenarios] }, outcomes };
}

/** @param {import('./outcome.mjs').Figure} figure */
function row({ name, value, plain, unit, goal }) {
  const isKnown = value !== null && plain !== null && plain !== undefined;
  return {
    figure: name,
    value: value === null ? '-' : `${rounded(value)} ${unit}`.trim(),
    'plain Socket.IO': plain === null || plain === undefined ? '' : `${rounded(plain)} ${unit}`,
    ratio: isKnown ? rounded(value / plain) : '',
    goal: goal ?? '',
  };
}

/** @param {number} value */
const rounded = (value) => (Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(2));

/** @param {Record<string, string>[]} rows */
function table(rows) {
  const columns = Object.keys(rows[0] ?? {});
  const width = (/** @type {string} */ column) =>
    Math.max(column.length, ...rows.map((each) => (each[column] ?? '').length));
  const line = (/** @type {(column: string) => string} */ cell) =>
    `| ${columns.map((column) => cell(column).padEnd(width(column))).join(' | ')} |`;
  const rule = `|${columns.map((column) => '-'.repeat(width(column) + 2)).join('|')}|`;
  return [line((column) => column), rule, ...rows.map((each) => line((c) => each[c] ?? ''))].join(
    '\n',
  );
}

async function main() {
  const options = readOptions(process.argv.slice(2));
  if (options.isHelp) {
    console.log(USAGE);
    return;
  }
  const lifetime = new Lifetime(options.maxMs);
  const result = await lifetime.use(() => run(options, lifetime));
  const outcomes = Object.values(result.outcomes);
  console.log(`\n${table(outcomes.flatMap(({ figures }) => figures.map(row)))}`);
  if (options.json) {
    mkdirSync(dirname(resolve(options.json)), { recursive: true });
    writeFileSync(options.json, `${JSON.stringify(result, null, 2)}\n`);
  }
  const failures = outcomes.flatMap((outcome) => outcome.failures);
  if (failures.length > 0) {
    console.error(`\nThe run has failed:\n${failures.join('\n')}`);
    process.exitCode = 1;
  }
}

main().then(
  // An interrupted run may still have work in progress, which is dropped.
  () => process.exit(),
  (/** @type {Error} */ error) => {
    console.error(error.message.startsWith('interrupted') ? error.message : error);
    process.exit(1);
  },
);

/**
 * The benchmark: starts everything, measures one window after the other, prints the figures, and
 * stops everything. The exit code is 1 when a delivery was lost or another error occurred; there is
 * no threshold on speed. See README.md.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { dirname, resolve } from 'node:path';
import { loadAdapter } from './adapter.mjs';
import { Bench } from './bench.mjs';
import { Lifetime } from './lifetime.mjs';
import { Measurement } from './measure.mjs';
import { readOptions, USAGE } from './options.mjs';
import { DATA_BYTES } from './plans.mjs';
import { productSettings } from './product.mjs';
import { ratiosOf } from './ratios.mjs';
import { reportText } from './report.mjs';
import { Rig, RESULTS } from './rig.mjs';
import { SCENARIOS } from './scenarios.mjs';
import { basics } from './scenarios/basics.mjs';
import { Server } from './server.mjs';
import { diskSyncUs } from './stores.mjs';
import { summarise, totals } from './summary.mjs';

/** @typedef {import('./options.mjs').Options} Options */

/**
 * @param {Options} options
 * @param {Lifetime} lifetime
 */
async function run(options, lifetime) {
  const rig = await Rig.start(lifetime, options);
  if (options.isProductWanted) {
    await rig.startStores();
    await rig.startProduct();
    await rig.product.server.register(rig.origins);
  }
  const peers = await startPeers(options, lifetime, rig.origins);
  const machine = describeMachine(rig.postgres && (await diskSyncUs(RESULTS)));
  console.log(`${heading(machine, rig, peers, options)}\n`);

  const bench = new Bench(rig, options, new Measurement(rig, machine.cores));
  const product = rig.products.at(0);
  const figures = await measure(bench, peers);
  const peerNames = peers.map(({ name }) => name);
  const { signatures } = await rig.receiver.call('end');
  const rows = summarise(bench.windows);
  const result = {
    startedAt: new Date(performance.timeOrigin).toISOString(),
    machine,
    stores: { postgres: describeStore(rig.postgres), redis: describeStore(rig.redis) },
    options: { ...options, scenarios: [...options.scenarios], settings: productSettings() },
    scenarios: rows,
    figures,
    ratios: ratiosOf(rows, figures, peerNames),
    totals: { ...totals([...bench.windows, ...bench.backlogs].map(counted)), signatures },
    windows: bench.windows,
  };
  return { result, productOutput: product?.output };
}

/**
 * Servers that are already running, with their endpoints.
 * @param {Options} options
 * @param {Lifetime} lifetime
 * @param {string[]} origins
 */
async function startPeers({ peers }, lifetime, origins) {
  /** @type {Server[]} */
  const servers = [];
  for (const [index, { adapter: path, baseUrl }] of peers.entries()) {
    const { adapter, url } = await loadAdapter(path);
    const isFirst = servers.every(({ name }) => name !== adapter.name);
    const name = isFirst ? adapter.name : `${adapter.name} ${index + 1}`;
    const server = new Server({ name, adapter, adapterUrl: url, baseUrl });
    await lifetime.own(server);
    await server.setUp();
    await server.register(origins);
    servers.push(server);
  }
  return servers;
}

/**
 * @param {Bench} bench
 * @param {Server[]} peers
 */
async function measure(bench, peers) {
  const { options, rig } = bench;
  const product = options.isProductWanted ? [rig.product] : [];
  await basics(bench, [...product, ...peers.map((server) => ({ server }))]);
  /** @type {Record<string, object | undefined>} */
  const figures = {};
  for (const [name, scenario] of Object.entries(SCENARIOS)) {
    if (options.isProductWanted && options.scenarios.has(name))
      figures[name] = await scenario(bench);
  }
  return figures;
}

/** @param {import('./bench.mjs').Counts | import('./bench.mjs').NamedWindow} part */
const counted = (part) => ({ arrivedBefore: 0, ...part });

/** @param {number | undefined} diskSync */
function describeMachine(diskSync) {
  return {
    cores: availableParallelism(),
    cpu: cpus()[0]?.model ?? 'unknown',
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    platform: `${process.platform} ${process.arch}`,
    node: process.version,
    diskSyncUs: diskSync ?? null,
  };
}

/** @param {import('./stores.mjs').Store | undefined} store */
const describeStore = (store) => store && { version: store.version, note: store.note };

/**
 * @param {ReturnType<typeof describeMachine>} machine
 * @param {Rig} rig
 * @param {Server[]} peers
 * @param {Options} options
 */
function heading(machine, { postgres, redis }, peers, options) {
  const { cores, cpu, memoryGiB, node, diskSyncUs: sync } = machine;
  const lines = [
    `${cores} cores (${cpu}), ${memoryGiB} GiB, Node ${node}, everything on this machine`,
  ];
  if (postgres) {
    lines.push(
      `PostgreSQL ${postgres.version}: ${postgres.note}; the disk makes a page durable in ${sync} µs`,
    );
    if (redis) lines.push(`Redis ${redis.version}`);
    else lines.push(`without Redis: ${options.withRedis ? 'none was found' : '--no-redis'}`);
  }
  for (const { name, baseUrl } of peers) lines.push(`beside it: ${name} at ${baseUrl}`);
  for (const [key, value] of Object.entries(productSettings())) lines.push(`${key}=${value}`);
  const { rounds, windowMs, latencyWindowMs } = options;
  lines.push(
    `${DATA_BYTES} bytes of data per event; medians of ${rounds} windows of ${windowMs / 1e3} s, ` +
      `latency at fixed rates over ${latencyWindowMs / 1e3} s`,
  );
  return lines.join('\n');
}

async function main() {
  const options = readOptions(process.argv.slice(2));
  if (options.isHelp) {
    console.log(USAGE);
    return;
  }
  const lifetime = new Lifetime(options.maxMs);
  const { result, productOutput } = await lifetime.use(() => run(options, lifetime));
  const { missing, misdirected, refused, signatures } = result.totals;
  console.log(`\n${reportText(result.scenarios, result.ratios, result.totals, signatures)}`);
  if (options.json) {
    mkdirSync(dirname(resolve(options.json)), { recursive: true });
    writeFileSync(options.json, `${JSON.stringify(result, null, 2)}\n`);
  }
  if (missing + misdirected + refused + signatures.wrong > 0) {
    console.error(
      `\nThe run has failed. The last output of the product:\n${productOutput ?? 'none'}`,
    );
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

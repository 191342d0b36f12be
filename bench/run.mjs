/**
 * The benchmark: starts everything, measures one window after the other, prints the figures, and
 * ends what it has started. Exit code 1 when a delivery was lost or anything else went wrong; being
 * slow is not wrong. See README.md.
 */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Child } from './child.mjs';
import { Lifetime } from './lifetime.mjs';
import { Measurement } from './measure.mjs';
import { readOptions, USAGE } from './options.mjs';
import { deliverySettings, Product } from './product.mjs';
import { reportText } from './report.mjs';
import { DATA_BYTES, plansOf } from './scenarios.mjs';
import { diskSyncUs, startPostgres, startRedis } from './stores.mjs';
import { summarise, totals } from './summary.mjs';

/** Not in the system's temporary directory: that is memory on many systems, and commits cost nothing there. */
const RESULTS = fileURLToPath(new URL('results', import.meta.url));

/** @typedef {import('./options.mjs').Options} Options */

/**
 * @param {Options} options
 * @param {Lifetime} lifetime
 */
async function startProduct(options, lifetime) {
  const dist = resolve(options.dist);
  if (!existsSync(join(dist, 'main.js')))
    throw new Error(`There is no build in ${dist}: npm run build`);
  const postgres = await lifetime.own(await startPostgres(dist, RESULTS));
  const redis = options.withRedis ? await startRedis() : undefined;
  if (redis) await lifetime.own(redis);
  const profileDirectory = options.profile && resolve(options.profile);
  const stores = { databaseUrl: postgres.url, redisUrl: redis?.url };
  const product = await lifetime.own(new Product({ dist, ...stores, profileDirectory }));
  await product.listening();
  return { postgres, redis, product };
}

/**
 * @param {Options} options
 * @param {Lifetime} lifetime
 */
async function run(options, lifetime) {
  const receiver = await lifetime.own(new Child('receiver.mjs'));
  const load = await lifetime.own(new Child('load.mjs'));
  const raw = await lifetime.own(new Child('raw-client.mjs'));
  /** @type {string[]} */
  const origins = await receiver.call('listen');
  await raw.call('setUp', { origins, dataBytes: DATA_BYTES });

  const needsProduct = options.scenarios.size > 1 || !options.scenarios.has('raw');
  const started = needsProduct ? await startProduct(options, lifetime) : undefined;
  await started?.product.register(origins);
  const machine = describeMachine(started && (await diskSyncUs(RESULTS)));
  console.log(`${heading(machine, started, options)}\n`);

  const measurement = new Measurement({ receiver, load, raw, ...started }, machine.cores);
  const windows = [];
  for (const plan of plansOf(options, started?.product.target)) {
    const { name, isMeasured, offeredPerS } = plan;
    const window = await measurement.window(plan);
    windows.push({ name, isMeasured, offeredPerS, ...window });
    console.log(progressLine(plan, window));
  }
  const { signatures } = await receiver.call('end');
  const result = {
    startedAt: new Date(performance.timeOrigin).toISOString(),
    machine,
    stores: { postgres: describeStore(started?.postgres), redis: describeStore(started?.redis) },
    options: { ...options, scenarios: [...options.scenarios], settings: deliverySettings() },
    scenarios: summarise(windows),
    totals: { ...totals(windows), signatures },
    windows,
  };
  return { result, productOutput: started?.product.output };
}

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
 * @param {Awaited<ReturnType<typeof startProduct>> | undefined} started
 * @param {Options} options
 */
function heading(machine, started, options) {
  const { cores, cpu, memoryGiB, node, diskSyncUs: sync } = machine;
  const lines = [
    `${cores} cores (${cpu}), ${memoryGiB} GiB, Node ${node}, everything on this machine`,
  ];
  if (started) {
    const { postgres, redis } = started;
    lines.push(
      `PostgreSQL ${postgres.version}: ${postgres.note}; the disk makes a page durable in ${sync} µs`,
    );
    if (redis) lines.push(`Redis ${redis.version}`);
    else lines.push(`without Redis: ${options.withRedis ? 'none was found' : '--no-redis'}`);
  }
  for (const [key, value] of Object.entries(deliverySettings())) lines.push(`${key}=${value}`);
  const { rounds, windowMs, latencyWindowMs } = options;
  lines.push(
    `${DATA_BYTES} bytes of data per event; medians of ${rounds} windows of ${windowMs / 1e3} s, ` +
      `latency at fixed rates over ${latencyWindowMs / 1e3} s`,
  );
  return lines.join('\n');
}

/**
 * @param {import('./scenarios.mjs').Label} label
 * @param {import('./measure.mjs').Window} window
 */
function progressLine({ name, isMeasured }, { deliveriesPerS, latency, refused, missing, quotes }) {
  const p99 = latency.p99Us === null ? '-' : (latency.p99Us / 1e3).toFixed(1);
  const problems = [
    refused > 0 ? `, ${refused} REFUSED: ${quotes.join(' | ')}` : '',
    missing > 0 ? `, ${missing} MISSING` : '',
  ];
  const what = `${isMeasured ? '' : 'warm-up: '}${name}`;
  return `${what.padEnd(24)} ${deliveriesPerS.toFixed(0).padStart(7)}/s, p99 ${p99} ms${problems.join('')}`;
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
  console.log(`\n${reportText(result.scenarios, result.totals, signatures)}`);
  if (options.json) {
    mkdirSync(dirname(resolve(options.json)), { recursive: true });
    writeFileSync(options.json, `${JSON.stringify(result, null, 2)}\n`);
  }
  if (missing + misdirected + refused + signatures.wrong > 0) {
    console.error(`\nThat is a failure. The product's last lines:\n${productOutput}`);
    process.exitCode = 1;
  }
}

main().then(
  // What the run may still have been doing when it was interrupted is of no interest any more.
  () => process.exit(),
  (/** @type {Error} */ error) => {
    console.error(error.message.startsWith('interrupted') ? error.message : error);
    process.exit(1);
  },
);

/**
 * Counts the code that one event passes: `npm run trace [-- <dist>]`.
 *
 * Starts the built product in this process, without Redis, with one webhook and one Socket.IO client
 * that subscribe to the event. It measures idle windows first, then windows of the same length in
 * which one event is published, and prints the named functions of `dist/src` that ran for the event,
 * by file. A function counts if most windows with an event call it more often than any idle window:
 * so loops that run anyway do not count.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { Session } from 'node:inspector/promises';
import { tmpdir } from 'node:os';
import { basename, join, relative, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { io } from 'socket.io-client';
import { callJson } from '../bench/adapter.mjs';
import { newInstallation } from '../bench/product.mjs';

const TYPE = 'trace.event';
/** Caches are full and statements prepared after so many events. */
const WARM_UP_EVENTS = 20;
/** Odd, so that the median is one of the values. */
const ROUNDS = 5;
/** Longer than the slowest loop that looks at each event: the comparison of bus and log. */
const WINDOW_MS = 2_500;

/** @typedef {{ file: string; name: string; count: number }} Call a function and how often it ran */
/** @typedef {Map<string, Call>} Calls by file and position */

const dist = resolve(process.argv[2] ?? 'dist');
const sources = join(dist, 'src');
const directory = mkdtempSync(join(tmpdir(), 'trace-'));
/** What was started, to be stopped in the reverse order. @type {(() => unknown)[]} */
const started = [() => rmSync(directory, { recursive: true, force: true })];
try {
  const { publish, arrived } = await start();
  for (let event = 0; event < WARM_UP_EVENTS; event += 1) await publishAndWait(publish, arrived);
  await sleep(WINDOW_MS);
  report(await callsPerEvent(() => publishAndWait(publish, arrived)));
} finally {
  for (const stop of started.reverse()) await stop();
}

/** Starts the product, a receiver and a client. */
async function start() {
  const supervisor = await load('embedded-postgres.supervisor.js');
  const postgres = await supervisor.startEmbeddedPostgres({ dataDir: join(directory, 'data') });
  started.push(() => postgres.stop());
  const received = { webhook: 0, socket: 0 };
  const receiverUrl = await startReceiver(() => (received.webhook += 1));

  const { env, token } = newInstallation(['admin']);
  const { loadConfig } = await load('env.js');
  const config = loadConfig({
    ...env,
    PORT: '0',
    DATABASE_URL: 'postgres://unused@localhost/unused',
    SECRETS_KEY: randomBytes(32).toString('base64'),
    OUTBOUND_ALLOW_HTTP: 'true',
    OUTBOUND_ALLOW_CIDRS: '127.0.0.0/8',
    LOG_LEVEL: 'fatal',
  });
  const { createApp } = await load('http-app.js', 'app.setup.js');
  const app = await createApp(config, postgres.connection);
  started.push(() => app.close());
  await app.listen(0, '127.0.0.1');
  const baseUrl = await app.getUrl();

  const headers = { authorization: `Bearer ${token}` };
  await callJson('POST', `${baseUrl}/api/v1/webhooks`, {
    headers,
    body: { url: `${receiverUrl}/hook`, events: [TYPE] },
  });
  await subscribe(baseUrl, token, () => (received.socket += 1));
  const publish = () =>
    callJson('POST', `${baseUrl}/api/v1/events`, {
      headers,
      body: { type: TYPE, data: { quantity: 10 } },
    });
  return { publish, arrived: () => Math.min(received.webhook, received.socket) };
}

/**
 * A module of the product, wherever its folder is in this version.
 * @param {...string} names of the file, now and formerly
 */
async function load(...names) {
  const files = readdirSync(sources, { recursive: true, encoding: 'utf8' });
  const file = files.find((each) => names.includes(basename(each)));
  if (file === undefined) throw new Error(`${sources} has no ${names.join(', ')}: npm run build`);
  return import(pathToFileURL(join(sources, file)).href);
}

/** @param {() => void} onRequest */
async function startReceiver(onRequest) {
  const server = createServer((request, response) => {
    request.resume().on('end', () => {
      response.writeHead(200).end('ok');
      onRequest();
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  started.push(() => server.close());
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  return `http://127.0.0.1:${port}`;
}

/**
 * @param {string} baseUrl
 * @param {string} token
 * @param {() => void} onEvent
 */
async function subscribe(baseUrl, token, onEvent) {
  const socket = io(baseUrl, { auth: { token }, transports: ['websocket'] });
  started.push(() => socket.close());
  socket.on('event', onEvent);
  await new Promise((fulfil, reject) => {
    socket.once('connect', () => fulfil(undefined));
    socket.once('connect_error', reject);
  });
  const answer = await socket.emitWithAck('subscribe', { topics: [TYPE] });
  if (!answer.ok) throw new Error(`The subscription was refused: ${JSON.stringify(answer)}`);
}

/**
 * @param {() => Promise<unknown>} publish
 * @param {() => number} arrived
 */
async function publishAndWait(publish, arrived) {
  const before = arrived();
  await publish();
  while (arrived() === before) await sleep(1);
}

/**
 * The functions that one event calls, with the number of calls less those of an idle window.
 * @param {() => Promise<void>} publishOne
 * @returns {Promise<Call[]>}
 */
async function callsPerEvent(publishOne) {
  const session = new Session();
  session.connect();
  await session.post('Profiler.enable');
  await session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  /** @type {Calls[]} */
  const idle = [];
  /** @type {Calls[]} */
  const busy = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    idle.push(await callsIn(session, () => Promise.resolve()));
  }
  for (let round = 0; round < ROUNDS; round += 1) busy.push(await callsIn(session, publishOne));
  session.disconnect();
  return [...new Map(busy.flatMap((calls) => [...calls]))].flatMap(([key, { file, name }]) => {
    const median = medianOf(counts(busy, key));
    if (median <= Math.max(...counts(idle, key))) return [];
    return [{ file, name, count: median - medianOf(counts(idle, key)) }];
  });
}

/**
 * @param {Session} session
 * @param {() => Promise<void>} act
 * @returns {Promise<Calls>}
 */
async function callsIn(session, act) {
  // Taking the coverage also sets all counters to 0.
  await session.post('Profiler.takePreciseCoverage');
  const until = performance.now() + WINDOW_MS;
  await act();
  await sleep(until - performance.now());
  const { result } = await session.post('Profiler.takePreciseCoverage');
  /** @type {Calls} */
  const calls = new Map();
  for (const { url, functions } of result) {
    if (!url.startsWith('file:')) continue;
    const file = relative(sources, fileURLToPath(url));
    if (file.startsWith('..')) continue;
    for (const { functionName: name, ranges } of functions) {
      const [{ count, startOffset }] = ranges;
      // Names in angle brackets are the engine's own, such as initializers of classes.
      if (count > 0 && /^[^<]/.test(name))
        calls.set(`${url} ${startOffset}`, { file, name, count });
    }
  }
  return calls;
}

/**
 * @param {readonly Calls[]} rounds
 * @param {string} key
 */
function counts(rounds, key) {
  return rounds.map((calls) => calls.get(key)?.count ?? 0);
}

/** @param {number[]} values */
function medianOf(values) {
  return values.toSorted((a, b) => a - b)[(ROUNDS - 1) / 2] ?? 0;
}

/** @param {Call[]} calls */
function report(calls) {
  /** @type {Record<string, string[]>} */
  const byFile = {};
  for (const { file, name, count } of calls) {
    (byFile[file] ??= []).push(count === 1 ? name : `${name} (${count})`);
  }
  for (const [file, functions] of Object.entries(byFile).sort(([a], [b]) => a.localeCompare(b))) {
    console.log(`${file.replace(/\.js$/, '.ts')}: ${functions.join(', ')}`);
  }
  console.log(`\n${calls.length} named functions in ${Object.keys(byFile).length} files`);
}

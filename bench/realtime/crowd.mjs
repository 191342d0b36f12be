/** Many clients in one process. Counts what they receive, and measures the latency. */
import { notify, serve } from '../child.mjs';
import { nowUs } from '../clock.mjs';
import { Histogram } from '../histogram.mjs';
import { findStamp, readSentAtUs, readSequence } from '../stamp.mjs';
import { LiveClient } from './live-client.mjs';

/** How many connections are opened at once: the queue of a listening socket is limited. */
const AT_ONCE = 100;
const NOTICE_MS = 5;
const EVENT_ID = 'evt_';
const EVENT_ID_LENGTH = 30;

/**
 * @typedef {object} Watch what is looked at in each event
 * @property {number} [fromUs] latencies count for events that were sent from this time on
 * @property {number} [toUs]
 * @property {boolean} [everyEvent] also record which events each client received, and the id of its last one
 */

/** @type {LiveClient[]} */
let clients = [];
let received = 0;
let latencies = new Histogram();
/** @type {Watch} */
let watch = {};
/** Where the stamp stands depends only on the length of a message. @type {Map<number, number>} */
const stampPlaces = new Map();

/** @type {import('./live-client.mjs').OnEvent} */
function onEvent(client, buffer, start, end) {
  received += 1;
  const { fromUs, toUs = Infinity, everyEvent } = watch;
  if (fromUs === undefined && !everyEvent) return;
  const at = stampAt(buffer, start, end);
  if (fromUs !== undefined) {
    const sentAtUs = readSentAtUs(buffer, at);
    if (sentAtUs >= fromUs && sentAtUs < toUs) latencies.record(nowUs() - sentAtUs);
  }
  if (everyEvent) note(client, buffer, { start, at });
}

/**
 * @param {Buffer} buffer
 * @param {number} start
 * @param {number} end
 */
function stampAt(buffer, start, end) {
  const known = stampPlaces.get(end - start);
  if (known !== undefined) return start + known;
  const at = findStamp(buffer, start, end);
  stampPlaces.set(end - start, at - start);
  return at;
}

/**
 * @param {LiveClient} client
 * @param {Buffer} buffer
 * @param {{ start: number; at: number }} places
 */
function note(client, buffer, { start, at }) {
  const sequence = readSequence(buffer, at);
  const idAt = buffer.indexOf(EVENT_ID, start, 'latin1');
  const { state } = client;
  if (state.seen.has(sequence)) state.duplicates += 1;
  state.seen.add(sequence);
  state.lastId = buffer.toString('latin1', idAt, idAt + EVENT_ID_LENGTH);
}

/** @param {(client: LiveClient) => Promise<unknown>} task */
async function withAll(task) {
  const waiting = [...clients];
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (let client = waiting.pop(); client; client = waiting.pop()) await task(client);
    }),
  );
}

let reported = 0;
setInterval(() => {
  if (received === reported) return;
  reported = received;
  notify(received);
}, NOTICE_MS);

serve({
  /** @param {import('./live-client.mjs').Target & { count: number }} options */
  async connect({ count, ...target }) {
    clients = Array.from({ length: count }, () => {
      const client = new LiveClient(target, onEvent);
      client.state = { seen: new Set(), duplicates: 0, lastId: undefined };
      return client;
    });
    await withAll((client) => client.open());
  },

  /** @param {Watch} options */
  watch(options) {
    watch = options;
    received = 0;
    latencies = new Histogram();
    for (const client of clients) client.state = { seen: new Set(), duplicates: 0 };
  },

  counts: () => ({
    received,
    latency: latencies.summary(),
    connected: clients.filter(({ isOn }) => isOn).length,
    losses: clients.reduce((sum, { losses }) => sum + losses, 0),
    lastWords: clients.find(({ lastWords }) => lastWords !== '')?.lastWords ?? '',
  }),

  /** The smallest number of events that a client has seen, and how many were seen twice. */
  seen: () => ({
    least: Math.min(...clients.map(({ state }) => state.seen.size)),
    most: Math.max(...clients.map(({ state }) => state.seen.size)),
    duplicates: clients.reduce((sum, { state }) => sum + state.duplicates, 0),
  }),

  cut() {
    for (const client of clients) client.cut();
  },

  /** Reconnects all clients at once; each resumes after its last event. Answers when all are subscribed. */
  async resume() {
    const answers = await Promise.all(clients.map((client) => client.open(client.state.lastId)));
    return { recovered: answers.filter((answer) => answer.includes('"recovered":true')).length };
  },

  disconnect() {
    for (const client of clients) client.cut();
    clients = [];
  },
});

/**
 * The receiver, a process of its own: 100 origins that record what arrives and when, and answer with
 * an empty 200, unless a scenario makes one fail or answer slowly. It does as little per request as
 * possible, so that the sender is measured and not the receiver.
 */
import { once } from 'node:events';
import { createServer } from 'node:net';
import { notify, serve } from './child.mjs';
import { nowUs } from './clock.mjs';
import { Histogram } from './histogram.mjs';
import { MessageParser } from './message-parser.mjs';
import { Receipts, WEBHOOKS } from './receipts.mjs';
import { signatureOf } from './signature.mjs';
import { findStamp, readSentAtUs, readSequence } from './stamp.mjs';

const OK = 200;
const BACKLOG = 1024;
const PROGRESS_EVERY_MS = 5;
/** One in so many signatures is verified. */
const VERIFY_ONE_OF = 256;

/** @typedef {{ webhook: number; status?: number; delayMs?: number }} Behaviour */
/** @typedef {{ signedWith: string | null; decoder: string | null }} Sink how a delivery is recognised */

const receipts = new Receipts();
let latencies = new Histogram();
let fromUs = Infinity;
let toUs = Infinity;
let inWindow = 0;
let successes = 0;
/** Number of requests in the window. */
const byOrigin = new Uint32Array(WEBHOOKS);
/** @type {Set<number>} */
let excluded = new Set();
let requests = 0;
let unstamped = 0;
const signatures = { verified: 0, wrong: 0 };
/** @type {string | null} */
let signedWith = null;
/** @type {((body: Buffer) => Buffer) | undefined} */
let decode;
/** @type {(Behaviour | undefined)[]} */
let behaviours = [];
/** Answers that take their time. @type {Set<() => void>} */
const delayed = new Set();
/** @type {NodeJS.Timeout | undefined} */
let progress;

/**
 * @param {Buffer} buffer
 * @param {number} start
 * @param {number} body
 * @param {number} end
 * @param {number} webhook
 * @param {number} atUs
 */
function receive(buffer, start, body, end, webhook, atUs) {
  requests += 1;
  if (requests % VERIFY_ONE_OF === 0 && signedWith !== null) verify(buffer, start, body, end);
  if (decode) note(decode(buffer.subarray(body, end)), 0, undefined, webhook, atUs);
  else note(buffer, body, end, webhook, atUs);
}

/**
 * @param {Buffer} buffer
 * @param {number} from
 * @param {number | undefined} end
 * @param {number} webhook
 * @param {number} atUs
 */
function note(buffer, from, end, webhook, atUs) {
  const stamp = findStamp(buffer, from, end);
  if (stamp < 0) {
    unstamped += 1;
    return;
  }
  if (atUs >= fromUs && atUs < toUs) {
    inWindow += 1;
    if ((behaviours[webhook]?.status ?? OK) === OK) successes += 1;
    byOrigin[webhook] = (byOrigin[webhook] ?? 0) + 1;
  }
  const sentAtUs = readSentAtUs(buffer, stamp);
  if (sentAtUs >= fromUs && sentAtUs < toUs && !excluded.has(webhook)) {
    latencies.record(atUs - sentAtUs);
  }
  receipts.record(readSequence(buffer, stamp), webhook);
}

/**
 * @param {Buffer} buffer
 * @param {number} start
 * @param {number} body
 * @param {number} end
 */
function verify(buffer, start, body, end) {
  const head = buffer.toString('latin1', start, body);
  /** @param {string} name */
  const header = (name) =>
    new RegExp(`\r\n${signedWith}${name}: *([^\r]*)\r\n`, 'i').exec(head)?.[1] ?? '';
  const expected = signatureOf(header('id'), header('timestamp'), buffer.subarray(body, end));
  signatures.verified += 1;
  if (!header('signature').split(' ').includes(expected)) signatures.wrong += 1;
}

/** @param {number} status */
const answerOf = (status) => `HTTP/1.1 ${status} Benchmark\r\ncontent-length: 0\r\n\r\n`;
const ANSWER = answerOf(OK);

/**
 * @param {import('node:net').Socket} socket
 * @param {number} webhook
 */
function answer(socket, webhook) {
  let atUs = 0;
  let answers = '';
  const parser = new MessageParser((buffer, start, body, end) => {
    receive(buffer, start, body, end, webhook, atUs);
    const behaviour = behaviours[webhook];
    if (!behaviour) answers += ANSWER;
    else if (behaviour.delayMs === undefined) answers += answerOf(behaviour.status ?? OK);
    else answerLater(socket, behaviour.status ?? OK, behaviour.delayMs);
  });
  socket.on('data', (chunk) => {
    atUs = nowUs();
    try {
      parser.push(chunk);
    } catch (error) {
      socket.destroy(/** @type {Error} */ (error));
    }
    if (answers === '') return;
    socket.write(answers, 'latin1');
    answers = '';
  });
  // The sender may reset its connections at any time.
  socket.on('error', () => socket.destroy());
}

/**
 * Answers after the delay of the webhook, or at once when its behaviour is changed meanwhile.
 * @param {import('node:net').Socket} socket
 * @param {number} status
 * @param {number} delayMs
 */
function answerLater(socket, status, delayMs) {
  const now = () => {
    clearTimeout(timer);
    delayed.delete(now);
    if (!socket.destroyed) socket.write(answerOf(status), 'latin1');
  };
  const timer = setTimeout(now, delayMs);
  delayed.add(now);
}

/**
 * @param {number} webhook
 * @param {string} address
 */
async function listen(webhook, address) {
  const server = createServer({ noDelay: true }, (socket) => answer(socket, webhook));
  server.listen({ port: 0, host: address, backlog: BACKLOG });
  await once(server, 'listening');
  return /** @type {import('node:net').AddressInfo} */ (server.address()).port;
}

serve({
  /**
   * @param {{ address: string; host: string }} the address to listen on, and the host name in the URLs
   * @returns {Promise<string[]>} the origins; the index is the webhook's number
   */
  async listen({ address, host }) {
    const numbers = Array.from({ length: WEBHOOKS }, (_, index) => index);
    const ports = await Promise.all(numbers.map((webhook) => listen(webhook, address)));
    return ports.map((port) => `http://${host}:${port}`);
  },

  /**
   * Sets the behaviour from now on. Webhooks that are not named answer 200 at once, and so do requests that wait.
   * @param {Behaviour[]} given
   */
  behave(given) {
    behaviours = [];
    for (const behaviour of given) behaviours[behaviour.webhook] = behaviour;
    for (const answerNow of delayed) answerNow();
  },

  /**
   * @param {{
   *   first: number; fanOut: number; fromUs: number; toUs: number; reportsProgress: boolean;
   *   excluded: number[]; sink: Sink;
   * }} window `excluded`: webhooks that are expected to receive nothing, and whose latencies do not count
   */
  async begin(window) {
    ({ fromUs, toUs } = window);
    signedWith = window.sink.signedWith;
    const adapter = window.sink.decoder ? await import(window.sink.decoder) : undefined;
    decode = adapter?.deliveredBody;
    excluded = new Set(window.excluded);
    receipts.begin(window.first, window.fanOut, window.excluded);
    latencies = new Histogram();
    inWindow = successes = 0;
    byOrigin.fill(0);
    clearInterval(progress);
    let reported = -1;
    if (!window.reportsProgress) return;
    progress = setInterval(() => {
      if (receipts.received !== reported) notify((reported = receipts.received));
    }, PROGRESS_EVERY_MS);
  },

  /** @param {{ events: number; refused: number[] }} published since `begin` */
  missing: ({ events, refused }) => receipts.missing(events, refused),

  end() {
    clearInterval(progress);
    const { received, duplicates, misdirected } = receipts;
    return {
      inWindow,
      successes,
      byOrigin: [...byOrigin],
      received,
      duplicates,
      misdirected,
      latency: latencies.summary(),
      requests,
      unstamped,
      signatures,
    };
  },
});

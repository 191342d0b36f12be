/**
 * The receiver, a process of its own: 100 origins that answer every request with an empty 200 and
 * note what arrived, and when. It does as little per request as it can, so that what is measured is
 * whoever sends.
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

const ANSWER = 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n';
const BACKLOG = 1024;
const PROGRESS_EVERY_MS = 5;
/** Of so many requests, the signature of one is verified. */
const VERIFY_ONE_OF = 256;

const receipts = new Receipts();
let latencies = new Histogram();
let fromUs = Infinity;
let toUs = Infinity;
let inWindow = 0;
let requests = 0;
let unstamped = 0;
const signatures = { verified: 0, wrong: 0 };
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
  const stamp = findStamp(buffer, body);
  if (stamp < 0 || stamp > end) {
    unstamped += 1;
    return;
  }
  if (atUs >= fromUs && atUs < toUs) inWindow += 1;
  const sentAtUs = readSentAtUs(buffer, stamp);
  if (sentAtUs >= fromUs && sentAtUs < toUs) latencies.record(atUs - sentAtUs);
  receipts.record(readSequence(buffer, stamp), webhook);
  if (requests % VERIFY_ONE_OF === 0) verify(buffer, start, body, end);
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
  const header = (name) => new RegExp(`\r\n${name}: *([^\r]*)\r\n`, 'i').exec(head)?.[1] ?? '';
  const signature = header('webhook-signature');
  const bytes = buffer.subarray(body, end);
  signatures.verified += 1;
  if (signature !== signatureOf(header('webhook-id'), header('webhook-timestamp'), bytes)) {
    signatures.wrong += 1;
  }
}

/**
 * @param {import('node:net').Socket} socket
 * @param {number} webhook
 */
function answer(socket, webhook) {
  let atUs = 0;
  let answers = '';
  const parser = new MessageParser((buffer, start, body, end) => {
    receive(buffer, start, body, end, webhook, atUs);
    answers += ANSWER;
  });
  socket.on('data', (chunk) => {
    atUs = nowUs();
    parser.push(chunk);
    if (answers === '') return;
    socket.write(answers, 'latin1');
    answers = '';
  });
  // The sender may cut its connections whenever it likes.
  socket.on('error', () => socket.destroy());
}

/** @param {number} webhook */
async function listen(webhook) {
  const server = createServer({ noDelay: true }, (socket) => answer(socket, webhook));
  server.listen({ port: 0, host: '127.0.0.1', backlog: BACKLOG });
  await once(server, 'listening');
  return /** @type {import('node:net').AddressInfo} */ (server.address()).port;
}

serve({
  /** @returns {Promise<string[]>} the origins; the index is the webhook's number */
  async listen() {
    const ports = await Promise.all(Array.from({ length: WEBHOOKS }, (_, index) => listen(index)));
    return ports.map((port) => `http://127.0.0.1:${port}`);
  },

  /** @param {{ first: number; fanOut: number; fromUs: number; toUs: number; reportsProgress: boolean }} window */
  begin(window) {
    ({ fromUs, toUs } = window);
    receipts.begin(window.first, window.fanOut);
    latencies = new Histogram();
    inWindow = 0;
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
    const latency = latencies.summary();
    return {
      inWindow,
      received,
      duplicates,
      misdirected,
      latency,
      requests,
      unstamped,
      signatures,
    };
  },
});

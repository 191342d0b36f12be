/**
 * The raw client, a process of its own: what an HTTP client alone can do, to compare all results with.
 * It uses undici pools, the same headers, a signature per request, the same bodies and the same
 * origins, and does nothing else. Every event goes to one group of ten webhooks; its bytes are made
 * once for all ten.
 */
import { Pool } from 'undici';
import { serve } from './child.mjs';
import { nowUs } from './clock.mjs';
import { groupOf } from './receipts.mjs';
import { signatureOf } from './signature.mjs';
import { findStamp, stampedData, writeStamp } from './stamp.mjs';

const FAN_OUT = 10;
/** Connections per origin: as many as the product uses for one webhook. */
const CONNECTIONS = 10;
const EVENT_ID = 'evt_00000000-0000-7000-8000-000000000000';
const EVENT_TYPE = 'bench.raw';

/** @type {Pool[]} */
let pools = [];
/** @type {Buffer} */
let template;
let stampAt = 0;
let concurrency = 0;

let isRunning = false;
let inFlight = 0;
let first = 0;
let next = 0;
let failed = 0;
/** @type {() => void} */
let onIdle = () => undefined;

/** One handler for all requests: it only counts how many have ended. */
const handler = {
  onRequestStart() {},
  onResponseStart(/** @type {unknown} */ _controller, /** @type {number} */ status) {
    if (status !== 200) failed += 1;
  },
  onResponseData() {},
  onResponseEnd() {
    ended();
  },
  onResponseError() {
    failed += 1;
    ended();
  },
};

function ended() {
  inFlight -= 1;
  if (isRunning) fill();
  else if (inFlight === 0) onIdle();
}

function fill() {
  while (inFlight + FAN_OUT <= concurrency) sendToGroup();
}

function sendToGroup() {
  const sequence = next++;
  const body = Buffer.from(template);
  writeStamp(body, stampAt, nowUs(), sequence);
  const firstOfGroup = groupOf(sequence, FAN_OUT) * FAN_OUT;
  inFlight += FAN_OUT;
  for (let member = 0; member < FAN_OUT; member += 1) {
    const timestamp = Math.floor(Date.now() / 1000);
    pools[firstOfGroup + member]?.dispatch(
      {
        method: 'POST',
        path: '/hook',
        headers: [
          'content-type',
          'application/json',
          'user-agent',
          'Tidings-Webhooks/bench',
          'webhook-id',
          EVENT_ID,
          'webhook-timestamp',
          String(timestamp),
          'webhook-signature',
          signatureOf(EVENT_ID, timestamp, body),
          'tidings-event-type',
          EVENT_TYPE,
          'tidings-delivery-id',
          `dlv_${sequence}_${member}`,
          'tidings-attempt',
          '1',
          'accept-encoding',
          'identity',
        ],
        body,
      },
      handler,
    );
  }
}

serve({
  /** @param {{ origins: string[]; dataBytes: number }} options */
  setUp({ origins, dataBytes }) {
    const options = { connections: CONNECTIONS, pipelining: 1, headersTimeout: 0, bodyTimeout: 0 };
    pools = origins.map((origin) => new Pool(origin, options));
    const envelope = { id: EVENT_ID, type: EVENT_TYPE, timestamp: new Date().toISOString() };
    template = Buffer.from(JSON.stringify({ ...envelope, data: stampedData(dataBytes) }));
    stampAt = findStamp(template);
  },

  /** @param {{ first: number; inFlight: number }} run */
  start(run) {
    concurrency = run.inFlight;
    first = next = run.first;
    failed = 0;
    isRunning = true;
    fill();
  },

  /** Answers when every request has been answered. */
  async stop() {
    isRunning = false;
    if (inFlight > 0)
      await new Promise((/** @type {(value?: unknown) => void} */ resolve) => (onIdle = resolve));
    return { events: next - first, refused: [], failed };
  },
});

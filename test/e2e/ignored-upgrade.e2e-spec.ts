import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { eventually } from '../support/eventually.js';
import { adminToken } from '../support/tokens.js';
import { type RunningApp, World } from '../support/world.js';

let world: World;
let node: RunningApp;

beforeAll(async () => {
  world = await World.create();
  node = await world.start();
});
afterAll(() => world?.stop());

/** What Java's HttpClient and `curl --http2` add to their first request to a server without TLS. */
const OFFER =
  'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n';

const EVENT = JSON.stringify({ type: 'trade.submitted', data: { text: 'déjà vu' } });
const LENGTH = `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(EVENT)}\r\n`;

const head = (request: string, more = '') =>
  `${request} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${adminToken()}\r\n${more}\r\n`;

/** A connection, and everything that came over it. */
function open(): { socket: Socket; received: () => string } {
  const socket = connect({ port: Number(new URL(node.baseUrl).port), host: '127.0.0.1' });
  onTestFinished(() => void socket.destroy());
  let received = '';
  socket.setEncoding('utf8').on('data', (text: string) => (received += text));
  return { socket, received: () => received };
}

describe('a request that offers HTTP/2', () => {
  it('is answered as one that does not, and so is the next one on its connection', async () => {
    const { socket, received } = open();
    socket.write(head('GET /api/v1/events?limit=1', OFFER));
    await eventually(() => expect(received()).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*"nextCursor"/));
    socket.write(head('GET /health/live', OFFER));
    await eventually(() => expect(received()).toMatch(/"nextCursor"[^]*"status":"ok"/));
  });

  it.each([
    ['with its headers', [head('POST /api/v1/events', OFFER + LENGTH) + EVENT]],
    ['after its headers', [head('POST /api/v1/events', OFFER + LENGTH), EVENT]],
    [
      'in parts',
      [head('POST /api/v1/events', OFFER + LENGTH) + EVENT.slice(0, 20), EVENT.slice(20)],
    ],
  ])('brings its body %s', async (_, parts) => {
    const { socket, received } = open();
    for (const part of parts) {
      await new Promise<void>((resolve) => void socket.write(part, () => setImmediate(resolve)));
    }
    await eventually(() => expect(received()).toMatch(/^HTTP\/1\.1 202 Accepted/));
    const id = /"id":"(evt_\w+)"/.exec(received())?.[1];
    const { data } = await node.api.get(`/events/${id}`);
    expect(data).toEqual({ text: 'déjà vu' });
  });

  it('closes the connection if it says so', async () => {
    const { socket, received } = open();
    let isClosed = false;
    socket.on('close', () => (isClosed = true));
    socket.write(head('GET /health/live', OFFER.replace('Upgrade,', 'close, Upgrade,')));
    await eventually(() => expect(isClosed).toBe(true));
    expect(received()).toContain('"status":"ok"');
  });
});

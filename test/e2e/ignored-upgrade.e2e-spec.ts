import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { eventually } from '../support/eventually.js';
import { RawConnection } from '../support/raw-connection.js';
import { adminToken } from '../support/tokens.js';
import { type RunningApp, World } from '../support/world.js';

let world: World;
let node: RunningApp;
/** Has no live connections, so nothing in it takes an upgrade. */
let apiOnly: RunningApp;

beforeAll(async () => {
  world = await World.create();
  node = await world.start();
  apiOnly = await world.start({ ROLES: 'api' });
});
afterAll(() => world?.stop());

/** What Java's HttpClient and `curl --http2` add to their first request to a server without TLS. */
const OFFER =
  'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n';

const EVENT = JSON.stringify({ type: 'trade.submitted', data: { text: 'déjà vu' } });
const LENGTH = `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(EVENT)}\r\n`;

const head = (request: string, more = '') =>
  `${request} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${adminToken()}\r\n${more}\r\n`;

function open({ baseUrl }: RunningApp = node): RawConnection {
  const connection = RawConnection.open(baseUrl);
  onTestFinished(() => connection.close());
  return connection;
}

describe('a request that offers another protocol', () => {
  it.each([
    ['HTTP/2', OFFER],
    ['TLS', 'Connection: upgrade\r\nUpgrade: TLS/1.0\r\n'],
    ['several', 'Connection: keep-alive, Upgrade\r\nUpgrade: IRC/6.9\r\nUpgrade: x\r\n'],
    ['nothing', 'Connection: Upgrade\r\nUpgrade: ,\r\n'],
    ['one of a hostile name', `Connection: Upgrade\r\nUpgrade: ${'websocke'.repeat(500)}\r\n`],
  ])(
    'is answered as one that does not, and is the last of its connection: %s',
    async (_, offer) => {
      for (const app of [node, apiOnly]) {
        for (const [request, status] of [
          ['GET /api/v1/events?limit=1', 200],
          ['GET /health/live', 200],
          ['GET /nowhere', 404],
          ['GET /ws', 404],
          ['OPTIONS *', 404],
        ] as const) {
          const connection = open(app);
          await connection.send(head(request, offer));
          const text = await connection.untilClosed();
          expect(connection.statuses, request).toEqual([status]);
          expect(text.toLowerCase()).toContain('\r\nconnection: close\r\n');
        }
      }
    },
  );

  it.each([
    ['with its headers', [head('POST /api/v1/events', OFFER + LENGTH) + EVENT]],
    ['after its headers', [head('POST /api/v1/events', OFFER + LENGTH), EVENT]],
    [
      'in parts',
      [head('POST /api/v1/events', OFFER + LENGTH) + EVENT.slice(0, 20), EVENT.slice(20)],
    ],
    [
      'in chunks',
      [
        head(
          'POST /api/v1/events',
          `${OFFER}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n`,
        ),
        `${Buffer.byteLength(EVENT).toString(16)}\r\n${EVENT}\r\n`,
        '0\r\n\r\n',
      ],
    ],
  ])('brings its body %s', async (_, parts) => {
    const connection = open();
    await connection.send(...parts);
    const text = await connection.untilClosed();
    expect(connection.statuses).toEqual([202]);
    const id = /"id":"(evt_\w+)"/.exec(text)?.[1];
    const { data } = await node.api.get(`/events/${id}`);
    expect(data).toEqual({ text: 'déjà vu' });
  });

  it('has nothing in it answered as a second request, however many headers it has', async () => {
    const inner = 'GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n';
    for (const count of [10, 1_000, 1_990, 1_995, 1_999, 2_000, 2_500, 3_900]) {
      for (const authorization of ['', `authorization: Bearer ${adminToken()}\r\n`]) {
        const connection = open();
        await connection.send(
          `POST /api/v1/events HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n` +
            `${authorization}${'a:\r\n'.repeat(count)}content-type: application/json\r\n` +
            `content-length: ${inner.length}\r\n\r\n${inner}`,
        );
        await connection.untilClosed();
        expect(connection.statuses, `${count} lines`).toHaveLength(1);
        expect(connection.statuses[0]).toBeGreaterThanOrEqual(400);
      }
    }
  });

  it.each([
    ['in one packet', (requests: string[]) => [requests.join('')]],
    ['in packets of their own', (requests: string[]) => requests],
    ['in pieces', (requests: string[]) => requests.join('').match(/[^]{1,150}/g)!],
  ])('answers those before it, and none behind it: %s', async (_, packets) => {
    const connection = open();
    const requests = [
      head('GET /api/v1/events?limit=1'),
      head('POST /api/v1/events', LENGTH) + Buffer.from(EVENT).toString('latin1'),
      head('GET /health/live', OFFER),
      head('GET /nowhere/behind'),
      head('GET /nowhere/behind', OFFER),
    ];
    await connection.send(...packets(requests).map((part) => Buffer.from(part, 'latin1')));
    const text = await connection.untilClosed();
    expect(connection.statuses).toEqual([200, 202, 200]);
    expect(text).toMatch(/"nextCursor"[^]*"id":"evt_[^]*"status":"ok"/);
  });

  it('leaves nothing behind on a connection that makes thousands of them', async () => {
    const connection = open();
    await connection.send(head('GET /health/live', OFFER).repeat(5_000));
    await connection.untilClosed();
    expect(connection.statuses).toEqual([200]);
  });

  it('for a WebSocket is an upgrade at its path only', async () => {
    const key = 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
    const offer = `Connection: Upgrade\r\nUpgrade: h2c, WebSocket\r\n${key}`;
    for (const [path, status] of [
      ['/ws', 101],
      ['/socket.io/?EIO=4&transport=websocket', 101],
      ['/nowhere', 400],
      ['/api/v1/events', 400],
    ] as const) {
      const connection = open();
      await connection.send(head(`GET ${path}`, offer.replace('h2c, ', '')));
      await eventually(() => expect(connection.statuses, path).toEqual([status]));
    }
    const several = open();
    await several.send(head('GET /nowhere', offer));
    await several.untilClosed();
    expect(several.statuses).toEqual([400]);
  });

  it('for a WebSocket is ignored by a process without live connections', async () => {
    for (const path of ['/ws', '/socket.io/?EIO=4&transport=websocket', '/nowhere']) {
      const connection = open(apiOnly);
      await connection.send(
        head(`GET ${path}`, 'Connection: Upgrade\r\nUpgrade: websocket\r\n') + head('GET /next'),
      );
      await connection.untilClosed();
      expect(connection.statuses, path).toEqual([404]);
    }
  });

  it('has no connection to somewhere else made for it', async () => {
    const connection = open();
    await connection.send('CONNECT 127.0.0.1:80 HTTP/1.1\r\nhost: 127.0.0.1:80\r\n\r\n');
    expect(await connection.untilClosed()).toBe('');
  });
});

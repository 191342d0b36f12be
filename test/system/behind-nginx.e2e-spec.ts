import { randomUUID } from 'node:crypto';
import { io } from 'socket.io-client';
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { WebSocket } from 'ws';
import {
  connect,
  socketIo,
  type TidingsClient,
  type Transport,
  webSocket,
} from '../../clients/typescript/src/tidings-client.js';
import { ApiClient } from '../support/api-client.js';
import { BROWSER_START_MS, TestBrowser } from '../support/browser.js';
import { EventStreamReader } from '../support/event-stream-reader.js';
import { eventually } from '../support/eventually.js';
import { Nginx } from '../support/nginx.js';
import { ProductProcess } from '../support/product-process.js';
import { redisUrl } from '../support/stores.js';
import { adminToken, tokenFor } from '../support/tokens.js';
import { environment, World } from '../support/world.js';

const START_MS = 180_000;

let world: World;
const nodes: ProductProcess[] = [];
const clients: TidingsClient[] = [];

const startNode = async (more: NodeJS.ProcessEnv = {}): Promise<ProductProcess> => {
  const env = {
    LOG_LEVEL: 'log',
    REDIS_URL: redisUrl(),
    TRUSTED_PROXIES: '127.0.0.1',
    ...more,
  };
  const node = await ProductProcess.start(environment(world.database, env), {
    timings: { shutdownDelayMs: 300 },
  });
  nodes.push(node);
  return node;
};

beforeAll(async () => {
  world = await World.create();
  await Promise.all([startNode(), startNode()]);
}, START_MS);

afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});

afterAll(async () => {
  await Promise.all(nodes.map((node) => node.end('SIGKILL')));
  await world?.stop();
});

/** In front of the first nodes, until the test ends. */
async function proxy(heading: string, count: number): Promise<string> {
  const urls = nodes.slice(0, count).map(({ baseUrl }) => baseUrl);
  const nginx = await Nginx.start(heading, urls);
  onTestFinished(() => nginx.close());
  return nginx.url;
}

const LAYOUTS: [heading: string, count: number, prefix: string][] = [
  ['One node', 1, ''],
  ['Several nodes', 2, ''],
  ['Below a path', 1, '/tidings'],
];

const TRANSPORTS: [string, () => Transport][] = [
  ['a plain WebSocket', () => webSocket({ WebSocket })],
  ['Socket.IO over WebSocket', () => socketIo(io, { transports: ['websocket'] })],
  ['Socket.IO over polling', () => socketIo(io, { transports: ['polling'] })],
  ['Socket.IO with an upgrade', () => socketIo(io, { transports: ['polling', 'websocket'] })],
];

describe.each(LAYOUTS)('behind nginx, %s', (heading, count, prefix) => {
  it('every transport receives what is published through it', { timeout: START_MS }, async () => {
    const url = (await proxy(heading, count)) + prefix;
    const owner = randomUUID();
    const received = await Promise.all(
      Array.from({ length: 2 }, () => TRANSPORTS)
        .flat()
        .map(async ([name, transport]) => {
          const ids: string[] = [];
          const client = connect({ url, token: tokenFor(owner), transport: transport() });
          clients.push(client);
          await client.subscribe(['trade.*'], ({ id }) => ids.push(id)).ready;
          return [name, ids] as const;
        }),
    );
    const stream = await EventStreamReader.open(`${url}/api/v1/events/stream`, {
      authorization: `Bearer ${tokenFor(owner)}`,
    });
    onTestFinished(() => stream.close());
    await stream.next('connected');
    const sender = connect({ url, token: tokenFor(owner), autoConnect: false });
    for (let n = 0; n < 4; n++) {
      const { id } = await sender.publish({ type: 'trade.made', data: n });
      // Each arrives before the next is published: nothing is buffered.
      expect((await stream.next('event')).id).toBe(id);
      await eventually(() => {
        for (const [name, ids] of received) expect(ids.at(-1), name).toBe(id);
      });
    }
  });

  it('takes the largest batch, and says itself that a larger one is too large', async () => {
    const url = (await proxy(heading, count)) + prefix;
    const api = new ApiClient(url, tokenFor(randomUUID()));
    const events = Array.from({ length: 40 }, () => ({
      type: 'trade.made',
      data: 'x'.repeat(190_000),
    }));
    const { ids } = await api.post('/events/batch', { events }, 202);
    expect(ids).toHaveLength(40);
    const answer = await api.request('POST', '/events/batch', { events: [...events, ...events] });
    expect(answer.status).toBe(413);
  });
});

describe('Swagger UI below a path', () => {
  it.each(['/docs', '/docs/'])(
    'at %s calls the API below the same path',
    { timeout: BROWSER_START_MS },
    async (path) => {
      const url = await proxy('Below a path', 1);
      const browser = await TestBrowser.start();
      onTestFinished(() => browser.close());
      const page = await browser.open('about:blank');
      const asked: string[] = [];
      page.on('request', (request) => asked.push(request.url()));
      await page.goto(`${url}/tidings${path}`);
      await page.waitForSelector('#operations-Health-health_live, [id^="operations-Health"]');
      const operation = '[id^="operations-Health"]';
      await page.click(`${operation} .opblock-summary-control`);
      await page.waitForSelector(`${operation} .try-out__btn`);
      await page.click(`${operation} .try-out__btn`);
      await page.waitForSelector(`${operation} .execute`);
      await page.click(`${operation} .execute`);
      await eventually(() => {
        expect(asked.filter((request) => /\/health\//.test(request))).toEqual([
          expect.stringMatching(new RegExp(`^${url}/tidings/health/`)),
        ]);
      });
    },
  );

  it('names its server relative to itself, wherever it is read', async () => {
    const url = await proxy('Below a path', 1);
    for (const base of [nodes[0]!.baseUrl, `${url}/tidings`]) {
      const address = `${base}/docs/json`;
      const { servers } = (await (await fetch(address)).json()) as { servers: { url: string }[] };
      expect(servers.map((server) => new URL(server.url, address).href)).toEqual([`${base}/`]);
    }
  });
});

describe('limits per address', () => {
  const CLIENTS = ['203.0.113.1', '203.0.113.2', '203.0.113.3'];

  /** How many of the clients are let in, which name addresses of their own. */
  async function admitted(trusted: string, layout: (node: ProductProcess) => Promise<string>) {
    const node = await startNode({
      TRUSTED_PROXIES: trusted,
      REALTIME_MAX_CONNECTIONS_PER_IP: '2',
    });
    const url = await layout(node);
    const open: EventStreamReader[] = [];
    onTestFinished(async () => {
      for (const stream of open) stream.close();
      await node.end('SIGKILL');
    });
    for (const address of CLIENTS) {
      const headers = {
        authorization: `Bearer ${tokenFor(randomUUID())}`,
        'x-forwarded-for': address,
      };
      await EventStreamReader.open(`${url}/api/v1/events/stream`, headers).then(
        (stream) => open.push(stream),
        () => undefined,
      );
    }
    return open.length;
  }

  const direct = (node: ProductProcess) => Promise.resolve(node.baseUrl);
  const behind = async (node: ProductProcess) => {
    const nginx = await Nginx.start('One node', [node.baseUrl]);
    onTestFinished(() => nginx.close());
    return nginx.url;
  };

  it.each([
    ['ignore what a client says of itself', '', direct, 2],
    ['ignore it of one that is no proxy', '10.0.0.0/8', direct, 2],
    ['count the clients of a proxy that is trusted', '127.0.0.1', direct, 3],
    ['count the true address behind nginx, whatever the client says', '1', behind, 2],
  ] as const)('%s', { timeout: START_MS }, async (_what, trusted, layout, expected) => {
    expect(await admitted(trusted, layout)).toBe(expected);
  });
});

describe('a node that is stopped behind nginx', () => {
  it('loses no request, and publishes none twice', { timeout: START_MS }, async () => {
    const [stays, stops] = [nodes[0]!, await startNode()];
    const nginx = await Nginx.start('Several nodes', [stays.baseUrl, stops.baseUrl]);
    onTestFinished(() => nginx.close());
    const owner = randomUUID();
    const client = connect({ url: nginx.url, token: tokenFor(owner), autoConnect: false });
    clients.push(client);
    const ids: string[] = [];
    let target = Infinity;
    const publishing = Array.from({ length: 4 }, async () => {
      while (ids.length < target) {
        ids.push((await client.publish({ type: 'trade.made', data: null })).id);
      }
    });
    await eventually(() => expect(ids.length).toBeGreaterThan(40));
    expect(await stops.end('SIGTERM')).toEqual({ code: 0, signal: null });
    target = ids.length + 40;
    await Promise.all(publishing);
    const logged: string[] = [];
    for await (const { id } of client.history({ limit: 200 })) logged.push(id);
    expect(logged.toSorted()).toEqual(ids.toSorted());
  });
});

describe('a page whose proxy replaces Host', () => {
  it.each([
    ['is let in by its browser', { 'sec-fetch-site': 'same-origin' }, 200],
    ['is let in by a trusted proxy', { 'x-forwarded-host': 'app.example.com' }, 200],
    ['is refused otherwise', {}, 403],
    ['is refused from elsewhere', { 'sec-fetch-site': 'cross-site' }, 403],
  ])('%s', async (_what, headers, status) => {
    const url = `${nodes[0]!.baseUrl}/api/v1/events/stream`;
    const answer = await fetch(url, {
      method: 'HEAD',
      headers: {
        origin: 'https://app.example.com',
        authorization: `Bearer ${adminToken()}`,
        ...headers,
      },
    });
    expect(answer.status).toBe(status);
  });
});

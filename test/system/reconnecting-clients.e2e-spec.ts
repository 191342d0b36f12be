import { describe, expect, it, onTestFinished } from 'vitest';
import { AdmissionService } from '../../src/realtime/connections/admission.service.js';
import { eventually } from '../support/eventually.js';
import { PostgresServer } from '../support/postgres-server.js';
import { ProductProcess } from '../support/product-process.js';
import { type RealtimeApp, startRealtimeApp, tokenOf } from '../support/realtime-app.js';
import { RECONNECTING_CLIENTS, type ReconnectingClient } from '../support/reconnecting-client.js';
import { startApp, untilTestEnds, webSocket } from '../support/short-lived.js';
import { TcpProxy } from '../support/tcp-proxy.js';
import { tokenFor } from '../support/tokens.js';
import { environment, World } from '../support/world.js';

const CLIENTS = Object.entries(RECONNECTING_CLIENTS);

/** What refuses a client for a while, and what ends it. */
const REFUSALS: [string, () => Promise<{ app: RealtimeApp; end: () => unknown }>][] = [
  ...[
    'REALTIME_MAX_CONNECTIONS',
    'REALTIME_MAX_CONNECTIONS_PER_IP',
    'REALTIME_MAX_CONNECTIONS_PER_USER',
  ].map((setting): (typeof REFUSALS)[number] => [
    `${setting} is reached`,
    async () => {
      const app = await startApp({ [setting]: '1' });
      const occupant = await webSocket(app, 'acme');
      return { app, end: () => occupant.close() };
    },
  ]),
  [
    'the process is about to stop',
    async () => {
      const app = await startApp();
      const admission = app.app.get(AdmissionService, { strict: false });
      admission.close();
      return { app, end: () => Object.assign(admission, { isClosed: false }) };
    },
  ],
];

/** Waits until the client was refused. */
async function untilRefused(client: ReconnectingClient): Promise<void> {
  await eventually(() => expect(client.failures()).toBeGreaterThan(0));
  expect(client.isConnected()).toBe(false);
}

describe.each(REFUSALS)('while %s', (_what, refuse) => {
  it.each(CLIENTS)('%s is not connected, and comes back by itself', async (_name, connect) => {
    const { app, end } = await refuse();
    const client = untilTestEnds(connect({ url: app.url, token: tokenOf('acme') }));
    await untilRefused(client);
    await end();
    await eventually(() => expect(client.isConnected()).toBe(true));
  });
});

describe('while PostgreSQL, which knows the API keys, is away', () => {
  it('clients are not connected, and come back by themselves', { timeout: 60_000 }, async () => {
    const postgres = await PostgresServer.create();
    onTestFinished(() => postgres.remove());
    const proxy = untilTestEnds(await TcpProxy.to({ path: postgres.socket }));
    const databaseUrl = `postgres://postgres@127.0.0.1:${proxy.port}/postgres`;
    const { url, apiKeys } = untilTestEnds(await startRealtimeApp(databaseUrl));
    const owner = { ownerId: 'acme', userId: 'acme', roles: new Set(['subscriber'] as const) };
    const { key } = await apiKeys.create(owner, { name: 'test' });
    await postgres.stop('immediate');
    const clients = CLIENTS.filter(([name]) => name !== 'EventSource').map(([, connect]) =>
      untilTestEnds(connect({ url, token: '', apiKey: key })),
    );
    for (const client of clients) await untilRefused(client);
    await postgres.start();
    for (const client of clients) await eventually(() => expect(client.isConnected()).toBe(true));
  });
});

describe('a process that gets SIGTERM and is started again', () => {
  it('has all of its clients again', { timeout: 120_000 }, async () => {
    const world = await World.create();
    const processes: ProductProcess[] = [];
    const clients: ReconnectingClient[] = [];
    onTestFinished(async () => {
      for (const client of clients) client.close();
      await Promise.all(processes.map((product) => product.end('SIGKILL')));
      await world.stop();
    });
    const start = async (port = '0') => {
      const product = await ProductProcess.start(
        environment(world.database, { PORT: port, LOG_LEVEL: 'log' }),
      );
      processes.push(product);
      return product;
    };
    const first = await start();
    const target = { url: first.baseUrl, token: tokenFor('acme') };
    const kinds = Object.values(RECONNECTING_CLIENTS);
    for (let n = 0; n < 100; n++) clients.push(kinds[n % kinds.length]!(target));
    const connected = () => clients.filter((client) => client.isConnected()).length;
    await eventually(() => expect(connected()).toBe(100), 60_000);
    first.kill('SIGTERM');
    expect(await first.exited).toEqual({ code: 0, signal: null });
    expect(connected()).toBe(0);
    await start(new URL(first.baseUrl).port);
    await eventually(() => expect(connected()).toBe(100), 60_000);
  });
});

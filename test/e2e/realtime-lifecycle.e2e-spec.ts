import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Principal } from '../../src/auth/principal.js';
import { type RealtimeApp, startRealtimeApp, tokenOf } from '../support/realtime-app.js';
import { SocketClient } from '../support/socket-client.js';
import { createDatabase, type TestDatabase } from '../support/stores.js';
import { TEST_TIMINGS } from '../support/timings.js';
import { seconds, soon } from '../support/auth-app.js';

const owner: Principal = { ownerId: 'acme', userId: 'acme', roles: new Set(['subscriber']) };
const TRANSPORTS = [['websocket'], ['polling']] as const;

let database: TestDatabase;
let server: RealtimeApp;

beforeAll(async () => {
  database = await createDatabase();
  server = await startRealtimeApp(database.url);
});

afterAll(async () => {
  await server?.close();
  await database?.drop();
});

const withKey = (key: string, { url } = server, transports = ['websocket']) =>
  SocketClient.connect(url, { transports, extraHeaders: { 'x-api-key': key } });

describe('a connection', () => {
  it.each(TRANSPORTS)('over %s ends with its token, and may come back', async (transport) => {
    const options = { transports: [transport] };
    const auth = (claims?: object) => ({ auth: { token: tokenOf('acme', claims) } });
    const client = await SocketClient.connect(server.url, {
      ...options,
      ...auth({ exp: soon() }),
    });
    const other = await SocketClient.connect(server.url, { ...options, ...auth() });
    expect(await client.next('error')).toEqual({
      code: 'token_expired',
      message: 'The token has expired.',
      reconnect: true,
    });
    // After this reason, Socket.IO's client reconnects by itself.
    expect(await client.next('disconnect')).toEqual({ reason: 'transport close' });
    expect(await other.request('ping', {})).toEqual({ ok: true });
    other.close();
  });

  it('lasts with a token that ends later than a timer can wait', async () => {
    const token = tokenOf('acme', { exp: seconds() + 100 * 365 * 86_400 });
    const client = await SocketClient.connect(server.url, { auth: { token } });
    const short = await SocketClient.connect(server.url, {
      auth: { token: tokenOf('acme', { exp: soon() }) },
    });
    await short.next('disconnect');
    expect(await client.request('ping', {})).toEqual({ ok: true });
    client.close();
  });

  it('ends when its API key is revoked here or elsewhere, and only then', async () => {
    const [revoked, removed, kept] = await Promise.all(
      ['revoked', 'removed', 'kept'].map((name) => server.apiKeys.create(owner, { name })),
    );
    const clients = await Promise.all(
      [revoked, removed, kept].map((each, n) =>
        withKey(each!.key, server, [...TRANSPORTS[n % 2]!]),
      ),
    );
    await server.apiKeys.revoke(owner, revoked!.entity.id);
    const elsewhere = await startRealtimeApp(database.url);
    await elsewhere.apiKeys.revoke(owner, removed!.entity.id);
    await elsewhere.close();
    for (const client of clients.slice(0, 2)) {
      expect(await client.next('error')).toMatchObject({
        code: 'invalid_api_key',
        reconnect: false,
      });
      // After this reason, Socket.IO's client does not reconnect by itself.
      expect(await client.next('disconnect')).toEqual({ reason: 'io server disconnect' });
    }
    expect(await clients[2]!.request('ping', {})).toEqual({ ok: true });
    clients[2]!.close();
  });

  it('stays when the store cannot say whether its API key is still good', async () => {
    const lost = await createDatabase();
    const app = await startRealtimeApp(lost.url);
    const { key } = await app.apiKeys.create(owner, { name: 'lasting' });
    const expiresAt = new Date(Date.now() + 2_000);
    const ending = await app.apiKeys.create(owner, { name: 'ending', expiresAt });
    const client = await withKey(key, app);
    const control = await withKey(ending.key, app);
    // A revocation clears the cache, so that the store is asked next time.
    const other = await app.apiKeys.create(owner, { name: 'other' });
    await app.apiKeys.revoke(owner, other.entity.id);
    await lost.drop();
    // By then the store was asked several times, and did not answer.
    expect(await control.next('error')).toMatchObject({ code: 'api_key_expired' });
    expect(await client.request('ping', {})).toEqual({ ok: true });
    client.close();
    await app.close();
  });
});

describe('a server that stops', () => {
  /** A busy machine may need longer than other tests give a client to read the reason. */
  const startSlow = () => startRealtimeApp(database.url, {}, {}, { closeGraceMs: 8_000 });

  it('says to its clients when to connect again, and closes', async () => {
    const app = await startSlow();
    const clients = await Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        SocketClient.connect(app.url, {
          auth: { token: tokenOf('acme') },
          transports: [...TRANSPORTS[n % 2]!],
        }),
      ),
    );
    for (const client of clients) await client.subscribe('*');
    const last = app.publish({});
    await app.close();
    const waits = new Set<unknown>();
    for (const client of clients) {
      expect(await client.eventsUntil(last)).toEqual([last]);
      const { reconnectInMs } = await client.next('draining');
      expect(reconnectInMs).toBeGreaterThanOrEqual(0);
      expect(reconnectInMs).toBeLessThan(TEST_TIMINGS.reconnectWindowMs!);
      waits.add(reconnectInMs);
      expect(await client.next('disconnect')).toEqual({ reason: 'transport close' });
    }
    expect(waits.size).toBeGreaterThan(1);
  });

  it('lets a client that is between two polls fetch that', async () => {
    const app = await startSlow();
    const poll = await pollingClient(app);
    const other = await SocketClient.connect(app.url, { auth: { token: tokenOf('acme') } });
    const closed = app.close();
    await other.next('draining');
    // As a client does that is far away, or busy.
    await delay(700);
    expect(await poll()).toContain('"draining"');
    await Promise.all([poll(), closed]);
  });

  it('does not wait for a client that hangs, nor for one that has not authenticated', async () => {
    const app = await startRealtimeApp(database.url);
    const sockets = await Promise.all(Array.from({ length: 3 }, () => hangingClient(app)));
    await expect(app.close()).resolves.toBeUndefined();
    for (const socket of sockets) socket.destroy();
  }, 10_000);
});

/** Connects by polling, and polls only when it is called. */
async function pollingClient({ url }: RealtimeApp): Promise<() => Promise<string>> {
  const path = `${url}/socket.io/?EIO=4&transport=polling`;
  const opened = await (await fetch(path)).text();
  const { sid } = JSON.parse(opened.slice(1)) as { sid: string };
  const poll = async () => (await fetch(`${path}&sid=${sid}`)).text();
  const body = `40${JSON.stringify({ token: tokenOf('acme') })}`;
  await fetch(`${path}&sid=${sid}`, { method: 'POST', body });
  let received = '';
  while (!received.includes('"connected"')) received += await poll();
  return poll;
}

/** Upgrades to WebSocket and then neither reads nor answers. */
async function hangingClient({ url }: RealtimeApp) {
  const { port, host } = new URL(url);
  const socket = connectTcp(Number(port), '127.0.0.1');
  socket.on('error', () => undefined);
  socket.write(
    `GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: ${host}\r\n` +
      'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  );
  await once(socket, 'data');
  socket.pause();
  return socket;
}

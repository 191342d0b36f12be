import { randomUUID } from 'node:crypto';
import { io } from 'socket.io-client';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import {
  connect,
  type ConnectOptions,
  socketIo,
  type TidingsClient,
  type TidingsError,
  type Transport,
  webSocket,
} from '../../clients/typescript/src/tidings-client.js';
import { BreakableProxy } from '../../clients/typescript/test/breakable-proxy.js';
import { seconds, soon } from '../support/auth-app.js';
import { eventually } from '../support/eventually.js';
import { type RealtimeApp, startRealtimeApp, tokenOf } from '../support/realtime-app.js';
import { createDatabase, type TestDatabase } from '../support/stores.js';

let database: TestDatabase;
let server: RealtimeApp;
let line: BreakableProxy;
const clients: TidingsClient[] = [];

beforeAll(async () => {
  database = await createDatabase();
  server = await startRealtimeApp(database.url);
  line = await BreakableProxy.to(server.url);
});

afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});

afterAll(async () => {
  await line?.close();
  await server?.close();
  await database?.drop();
});

/** A client, and the errors that it has reported. */
function start(transport: Transport, options: Partial<ConnectOptions> = {}) {
  const errors: TidingsError[] = [];
  const client = connect({
    url: line.url,
    transport,
    token: tokenOf(randomUUID()),
    backoff: { baseMs: 20, maxMs: 200 },
    onError: (error) => errors.push(error),
    ...options,
  });
  clients.push(client);
  return { client, errors };
}

const TRANSPORTS: [name: string, transport: () => Transport][] = [
  ['Socket.IO', () => socketIo(io)],
  ['Socket.IO, polling', () => socketIo(io, { transports: ['polling'] })],
  ['a plain WebSocket', () => webSocket({ WebSocket })],
];

describe.each(TRANSPORTS)('the client over %s', (_name, transport) => {
  it('receives the events of its topics, in order, as they were published', async () => {
    const { client } = start(transport());
    const received: unknown[] = [];
    const topics = ['trade.*', { type: 'price', subject: 'AAPL' }] as const;
    await client.subscribe(topics, (event) => received.push(event)).ready;
    const ids = [
      server.publish({ type: 'trade.submitted' }),
      server.publish({ type: 'price', subject: 'AAPL' }),
    ];
    server.publish({ type: 'price', subject: 'MSFT' });
    server.publish({ type: 'other' });
    ids.push(server.publish({ type: 'trade.done' }));
    await eventually(() => expect(received).toHaveLength(3));
    expect(received).toEqual([
      { id: ids[0], type: 'trade.submitted', timestamp: expect.any(String), data: { n: 1 } },
      expect.objectContaining({ id: ids[1], subject: 'AAPL' }),
      expect.objectContaining({ id: ids[2], type: 'trade.done' }),
    ]);
    expect(client.lastEventId).toBe(ids[2]);
  });

  it('subscribes again whenever the connection is cut', async () => {
    const { client } = start(transport());
    const received: string[] = [];
    const { ready } = client.subscribe(['the.beginning', 'the.end'], ({ id }) => received.push(id));
    await ready;
    const ids = [server.publish({ type: 'the.beginning' })];
    await eventually(() => expect(received).toEqual(ids));
    for (let round = 1; round <= 3; round++) {
      line.cut();
      const before = received.length;
      // Until it has subscribed again: without a history, it misses what is published before.
      await eventually(() => {
        server.publish({ type: 'the.end' });
        expect(received.length).toBeGreaterThan(before);
      });
    }
    expect(client.state).toBe('connected');
  });

  it('learns which topics it may not subscribe to, and receives the others', async () => {
    const token = tokenOf(randomUUID(), { topics: ['trade.*'] });
    const { client, errors } = start(transport(), { token });
    const received: string[] = [];
    const good = client.subscribe(['trade.*'], ({ id }) => received.push(id));
    const bad = client.subscribe(['secret'], ({ id }) => received.push(id));
    await expect(bad.ready).rejects.toMatchObject({ name: 'TidingsError', code: 'forbidden' });
    await good.ready;
    server.publish({ type: 'secret' });
    const id = server.publish({ type: 'trade.done' });
    await eventually(() => expect(received).toEqual([id]));
    expect(errors.map(({ code }) => code)).toEqual(['forbidden']);
  });

  it('receives nothing of topics that it has unsubscribed from', async () => {
    const { client } = start(transport());
    const received: string[] = [];
    const { ready, unsubscribe } = client.subscribe(['a'], ({ id }) => received.push(id));
    await Promise.all([ready, client.subscribe(['b'], ({ id }) => received.push(id)).ready]);
    unsubscribe();
    server.publish({ type: 'a' });
    const id = server.publish({ type: 'b' });
    await eventually(() => expect(received).toEqual([id]));
  });

  it('gets a new token for a connection that lasts longer than the first', async () => {
    const owner = randomUUID();
    let tokens = 0;
    const firstEnds = soon();
    const getToken = () => tokenOf(owner, { exp: tokens++ === 0 ? firstEnds : seconds() + 60 });
    const { client, errors } = start(transport(), { getToken });
    const received: string[] = [];
    await client.subscribe(['a'], ({ id }) => received.push(id)).ready;
    await eventually(() => expect(tokens).toBe(2));
    // Only a client whose second token was accepted is still connected after the end of the first.
    const over = firstEnds * 1_000 + 300;
    await eventually(() => expect(Date.now()).toBeGreaterThan(over));
    const id = server.publish({ type: 'a' });
    await eventually(() => expect(received).toEqual([id]));
    expect(errors).toEqual([]);
  });

  it('tries to connect elsewhere when the server stops', async () => {
    const first = await startRealtimeApp(database.url);
    const { client, errors } = start(transport(), { url: first.url });
    await client.subscribe(['a'], () => undefined).ready;
    await first.close();
    await eventually(() => expect(client.state).not.toBe('connected'));
    expect(errors.length).toBeGreaterThan(0);
    expect(client.state).not.toBe('closed');
  });
});

describe('a client that the server refuses', () => {
  it.each([
    ['with a token that is none', 'nonsense', 'invalid_token'],
    ['without a token', undefined, 'missing_credentials'],
  ])('%s ends, and says why', async (_what, token, code) => {
    const { client, errors } = start(socketIo(io), { token: token as string });
    const { ready } = client.subscribe(['a'], () => undefined);
    await expect(ready).rejects.toMatchObject({ code });
    expect({ state: client.state, codes: errors.map((error) => error.code) }).toEqual({
      state: 'closed',
      codes: [code],
    });
  });

  it('asks for another token if it can get one', async () => {
    let tokens = 0;
    const getToken = () => (tokens++ === 0 ? 'nonsense' : tokenOf(randomUUID()));
    const { client } = start(socketIo(io), { getToken });
    await client.subscribe(['a'], () => undefined).ready;
    expect(tokens).toBe(2);
  });
});

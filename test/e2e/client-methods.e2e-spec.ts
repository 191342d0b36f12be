import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { type AddressInfo } from 'node:net';
import { io } from 'socket.io-client';
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { WebSocket } from 'ws';
import {
  connect,
  type ConnectOptions,
  type PresenceChange,
  socketIo,
  type TidingsClient,
  type TidingsError,
  type Transport,
  webSocket,
} from '../../clients/typescript/src/tidings-client.js';
import { BreakableProxy } from '../../clients/typescript/test/breakable-proxy.js';
import { eventually } from '../support/eventually.js';
import { tokenFor } from '../support/tokens.js';
import { type RunningApp, World } from '../support/world.js';

let world: World;
let product: RunningApp;
const clients: TidingsClient[] = [];

beforeAll(async () => {
  world = await World.create();
  product = await world.start();
});
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});
afterAll(() => world?.stop());

const TRANSPORTS: [name: string, transport: () => Transport][] = [
  ['Socket.IO', () => socketIo(io)],
  ['a plain WebSocket', () => webSocket({ WebSocket })],
];

function start(options: Partial<ConnectOptions>): TidingsClient {
  const client = connect({
    url: product.baseUrl,
    backoff: { baseMs: 20, maxMs: 200 },
    onError: () => undefined,
    ...options,
  });
  clients.push(client);
  return client;
}

async function apiKeyOf(owner: string): Promise<string> {
  const { key } = await product.api.as(tokenFor(owner)).post('/api-keys', { name: 'k' }, 201);
  return key;
}

describe.each(TRANSPORTS)('a client over %s', (_name, transport) => {
  it('authenticates with an API key, and knows its connection', async () => {
    const owner = randomUUID();
    const client = start({ apiKey: await apiKeyOf(owner), transport: transport() });
    const welcomes: string[] = [];
    client.on('connected', ({ connectionId, userId }) => welcomes.push(connectionId, userId));
    await client.connect();
    expect(welcomes).toEqual([client.connectionId, owner]);
    expect(client.connectionId).toMatch(/^con_/);
    expect(await client.ping()).toBeGreaterThan(0);
  });

  it('gets its own messages back, unless it wants no echo', async () => {
    const owner = randomUUID();
    const received: Record<string, unknown[]> = { loud: [], quiet: [] };
    const [loud, quiet] = [undefined, false].map((echo) =>
      start({ token: tokenFor(owner), transport: transport(), echo }),
    ) as [TidingsClient, TidingsClient];
    loud.messages.listen(({ message }) => received['loud']!.push(message));
    quiet.messages.listen(({ message }) => received['quiet']!.push(message));
    await Promise.all([loud.connect(), quiet.connect()]);
    await quiet.messages.chat('of quiet');
    await quiet.messages.broadcast('of quiet, too');
    await loud.messages.chat('of loud');
    await eventually(() => {
      expect(received['quiet']).toEqual(['of loud']);
      expect(received['loud']).toEqual(['of quiet', 'of quiet, too', 'of loud']);
    });
  });

  it('disconnects and connects on request, and misses nothing in between', async () => {
    const owner = randomUUID();
    const client = start({ token: tokenFor(owner), transport: transport(), autoConnect: false });
    const [states, ids]: [string[], string[]] = [[], []];
    client.on('state', (state) => states.push(state));
    client.on('disconnected', ({ willReconnect }) => states.push(`again: ${willReconnect}`));
    expect(client.state).toBe('disconnected');
    const { ready } = client.subscribe(['trade.*'], ({ id }) => ids.push(id));
    await client.connect();
    await ready;
    const sent = [(await client.publish({ type: 'trade.a', data: 1 })).id];
    await eventually(() => expect(ids).toEqual(sent));
    for (let round = 0; round < 3; round++) {
      client.disconnect();
      expect([client.state, client.connectionId]).toEqual(['disconnected', undefined]);
      sent.push((await client.publish({ type: 'trade.b', data: round })).id);
      await client.connect();
      await eventually(() => expect(ids).toEqual(sent));
    }
    const cycle = ['connecting', 'connected', 'disconnected', 'again: false'];
    expect(states).toEqual([...cycle, ...cycle, ...cycle, 'connecting', 'connected']);
  });

  it('can be disconnected and connected without a pause, and given up while it connects', async () => {
    const client = start({ token: tokenFor(randomUUID()), transport: transport() });
    await client.connect();
    const first = client.connectionId;
    client.disconnect();
    const again = client.connect();
    client.disconnect();
    await expect(again).rejects.toMatchObject({ code: 'disconnected' });
    await client.connect();
    expect(client.state).toBe('connected');
    expect(client.connectionId).not.toBe(first);
    client.close();
    await expect(client.connect()).rejects.toMatchObject({ code: 'closed' });
  });

  it('sees who is present, over reconnections, until it stops to watch', async () => {
    const owner = randomUUID();
    const line = await BreakableProxy.to(product.baseUrl);
    onTestFinished(() => line.close());
    const options = { token: tokenFor(owner), transport: transport() };
    const client = start({ ...options, url: line.url });
    const changes: PresenceChange[] = [];
    const watch = client.presence.watch('room.*', (change) => changes.push(change));
    await watch.ready;
    expect(watch.members).toEqual([]);
    const member = start(options);
    await member.subscribe(['room.*'], () => undefined).ready;
    await eventually(() => expect(watch.members).toHaveLength(1));
    expect(watch.members[0]).toMatchObject({ connectionId: member.connectionId, userId: owner });
    expect(await client.presence.of('room.*')).toMatchObject({ count: 1, complete: true });

    const before = client.connectionId;
    line.cut();
    await eventually(() => expect(client.connectionId).not.toBe(before));
    await client.connect();
    client.disconnect();
    member.close();
    const other = start(options);
    await other.subscribe(['room.*'], () => undefined).ready;
    await client.connect();
    await eventually(() => {
      expect(watch.members.map(({ connectionId }) => connectionId)).toEqual([other.connectionId]);
    });
    const joined = changes.flatMap((change) => change.joined);
    const left = changes.flatMap((change) => change.left);
    expect([joined.length - left.length, joined.length]).toEqual([1, 2]);

    watch.stop();
    const count = changes.length;
    const control: PresenceChange[] = [];
    await client.presence.watch({ type: 'room.*' }, (change) => control.push(change)).ready;
    other.close();
    await eventually(() => expect(control.at(-1)?.members).toEqual([]));
    expect(changes).toHaveLength(count);
  });

  it('learns that it may not watch a topic', async () => {
    const token = tokenFor(randomUUID(), { topics: ['trade.*'] });
    const errors: TidingsError[] = [];
    const client = start({ token, transport: transport(), onError: (error) => errors.push(error) });
    const { ready } = client.presence.watch('secret', () => undefined);
    await expect(ready).rejects.toMatchObject({ code: 'forbidden' });
    expect(errors.map(({ code }) => code)).toEqual(['forbidden']);
  });

  it('receives messages by `on`, and learns how many got its own', async () => {
    const options = { token: tokenFor(randomUUID()), transport: transport() };
    const [one, other] = [start(options), start(options)];
    const received: unknown[] = [];
    other.on('message', ({ message, from }) => received.push([message, from.connectionId]));
    await Promise.all([one.connect(), other.connect()]);
    expect(await one.messages.private(other.connectionId!, 'hello')).toEqual({ delivered: 1 });
    await eventually(() => expect(received).toEqual([['hello', one.connectionId]]));
  });
});

describe.each(TRANSPORTS)('client ids and channels over %s', (_name, transport) => {
  it('name the client to others, and are taken over', async () => {
    const clientId = randomUUID();
    const owner = randomUUID();
    const options = { token: tokenFor(owner), transport: transport() };
    const errors: TidingsError[] = [];
    const older = start({ ...options, clientId, onError: (error) => errors.push(error) });
    const received: unknown[] = [];
    older.on('message', ({ message, from }) => received.push([message, from.clientId]));
    await older.connect();
    const other = start({ ...options, clientId: 'other' });
    await other.connect();
    await other.messages.private({ clientId }, 'hello');
    await eventually(() => expect(received).toEqual([['hello', 'other']]));

    const duplicates: unknown[] = [];
    const newer = start({ ...options, clientId, replace: true });
    newer.on('connected', (welcome) =>
      duplicates.push([welcome.clientId, welcome.duplicateClientId]),
    );
    await newer.connect();
    expect(duplicates).toEqual([[clientId, undefined]]);
    await eventually(() => expect(older.state).toBe('closed'));
    expect(errors.map(({ code }) => code)).toEqual(['replaced']);
    expect(newer.state).toBe('connected');
  });

  it('select the events of a channel, also of types that are added later', async () => {
    const [channel, first, second] = [randomUUID(), `a.${randomUUID()}`, `b.${randomUUID()}`];
    const put = (type: string) => product.api.request('PUT', `/event-types/${type}`, { channel });
    await put(first);
    const token = tokenFor(randomUUID());
    const client = start({ token, transport: transport() });
    const [all, about, typed]: string[][] = [[], [], []];
    await Promise.all([
      client.subscribe([{ channel }], ({ id }) => all!.push(id)).ready,
      client.subscribe([{ channel, subject: 'AAPL' }], ({ id }) => about!.push(id)).ready,
      client.subscribe([first], ({ id }) => typed!.push(id)).ready,
    ]);
    const publish = async (event: { type: string; subject?: string }) =>
      (await product.api.as(token).publish(event)).id;
    const ids = [await publish({ type: first }), await publish({ type: first, subject: 'AAPL' })];
    await put(second);
    ids.push(await publish({ type: second, subject: 'AAPL' }));
    await eventually(() => expect(all).toEqual(ids));
    expect(about).toEqual(ids.slice(1));
    expect(typed).toEqual(ids.slice(0, 2));
  });

  it('need no credential where guests are let in', async () => {
    const app = await world.start({ REALTIME_GUESTS: 'acme' });
    const welcomes: string[] = [];
    const client = start({ url: app.baseUrl, transport: transport() });
    client.on('connected', ({ userId, connectionId }) => {
      welcomes.push(userId.replace(connectionId, '…'));
    });
    await client.connect();
    expect(welcomes).toEqual(['guest:…']);
    client.close();
    await app.app.close();
  });
});

/** A proxy that loses answers, or gives some of its own. */
async function faultyProxy(faults: ('lost' | number)[]): Promise<string> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const fault = faults.shift();
      if (typeof fault === 'number') {
        return response.writeHead(fault, { 'retry-after': '0' }).end('<html>');
      }
      const headers = Object.entries(request.headers).filter(
        ([name]) => !/^(host|connection|content-length|transfer-encoding)$/.test(name),
      );
      void fetch(product.baseUrl + request.url!, {
        method: request.method!,
        headers: headers as [string, string][],
        ...(chunks.length > 0 && { body: Buffer.concat(chunks) }),
      }).then(async (answer) => {
        const text = await answer.text();
        if (fault === 'lost') response.destroy();
        else response.writeHead(answer.status, { 'content-type': 'application/json' }).end(text);
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe('publishing with the client', () => {
  it.each<[string, ('lost' | number)[]]>([
    ['whose answer is lost', ['lost']],
    ['whose answers are lost', ['lost', 'lost', 'lost', 'lost']],
    ['through a proxy that is busy', [502, 'lost', 503, 429]],
  ])('an event %s happens once', async (_what, faults) => {
    const url = await faultyProxy(faults);
    const client = start({ url, token: tokenFor(randomUUID()), autoConnect: false });
    const one = await client.publish({ type: 'trade.a', data: { n: 1 } });
    const many = await client.publishBatch([
      { type: 'trade.b', data: 1 },
      { type: 'trade.b', data: 2 },
    ]);
    const logged: string[] = [];
    for await (const { id } of client.history({ limit: 1 })) logged.push(id);
    expect(logged.toSorted()).toEqual([one.id, ...many.ids].toSorted());
  });

  it('gives up in the end, and says what the last answer was', async () => {
    const url = await faultyProxy([502, 502, 502, 502, 504, 500]);
    const client = start({ url, token: tokenFor('ada'), autoConnect: false });
    await expect(client.publish({ type: 'a', data: 1 })).rejects.toMatchObject({
      code: 'http_504',
      status: 504,
    });
  });

  it('takes a key of the caller, which publishes once', async () => {
    const client = start({ token: tokenFor(randomUUID()), autoConnect: false });
    const options = { idempotencyKey: 'order-1' };
    const first = await client.publish({ type: 'a', data: 1 }, options);
    expect(await client.publish({ type: 'a', data: 1 }, options)).toEqual({
      ...first,
      duplicate: true,
    });
    await expect(client.publish({ type: 'a', data: 2 }, options)).rejects.toMatchObject({
      status: 409,
    });
  });

  it('is refused with the name of the field, and not sent again', async () => {
    const client = start({ token: tokenFor(randomUUID()), autoConnect: false });
    const refused = await client
      .publish({ type: 'a..b', data: 1 })
      .catch((error: unknown) => error);
    expect(refused).toMatchObject({ name: 'TidingsError', status: 422 });
    expect(JSON.stringify((refused as TidingsError).errors)).toContain('type');
  });

  it('renews a token that is refused, and no other', async () => {
    let tokens = 0;
    const owner = randomUUID();
    const getToken = () => (tokens++ === 0 ? 'nonsense' : tokenFor(owner));
    const client = start({ getToken, autoConnect: false });
    for (let n = 0; n < 3; n++) await client.publish({ type: 'a', data: n });
    expect(tokens).toBe(2);
    const refused = start({ token: 'nonsense', autoConnect: false });
    await expect(refused.publish({ type: 'a', data: 1 })).rejects.toMatchObject({
      code: 'invalid_token',
      status: 401,
    });
  });

  it('ends when the client is closed', async () => {
    const url = await faultyProxy(Array.from({ length: 50 }, () => 503));
    const client = start({
      url,
      token: tokenFor('ada'),
      autoConnect: false,
      backoff: { baseMs: 60_000, maxMs: 60_000 },
    });
    const publishing = client.publish({ type: 'a', data: 1 });
    client.close();
    await expect(publishing).rejects.toMatchObject({ name: 'TidingsError' });
  });
});

describe('a client', () => {
  it.each([[{ token: 'a', apiKey: 'b' }], [{ getToken: () => 'a', apiKey: 'b' }]])(
    'has one credential: %o',
    (options) => {
      expect(() => start({ ...options, autoConnect: false })).toThrow(TypeError);
    },
  );
});

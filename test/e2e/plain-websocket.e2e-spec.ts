import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Connections } from '../../src/realtime/connections/connections.service.js';
import { seconds } from '../support/auth-app.js';
import { propertyRuns } from '../support/property-runs.js';
import { type RealtimeApp, startRealtimeApp, tokenOf } from '../support/realtime-app.js';
import { SocketClient } from '../support/socket-client.js';
import { createDatabase, type TestDatabase } from '../support/stores.js';
import { authorized, WebSocketClient, type WebSocketOptions } from '../support/websocket-client.js';

let database: TestDatabase;
let server: RealtimeApp;
const clients: { close(): void }[] = [];

async function connect(path?: string, options?: WebSocketOptions): Promise<WebSocketClient> {
  const client = await WebSocketClient.connect(server.url, path, options);
  clients.push(client);
  return client;
}

beforeAll(async () => {
  database = await createDatabase();
  server = await startRealtimeApp(database.url);
});

afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});

afterAll(async () => {
  await server?.close();
  await database?.drop();
});

const position = expect.stringMatching(/^pos_/) as unknown;

describe('a plain WebSocket', () => {
  it('is greeted with who it is and what it may do', async () => {
    const client = await connect('/ws/browser%201');
    expect(await client.next('connected')).toEqual({
      type: 'connected',
      connectionId: expect.stringMatching(/^con_[0-9a-z]{26}$/) as unknown,
      userId: 'acme',
      serverTime: expect.stringMatching(/^\d{4}-.*Z$/) as unknown,
      heartbeatMs: 30_000,
      clientId: 'browser 1',
      target: { clientId: 'browser 1' },
      position,
      limits: {
        topics: 100,
        maxPayloadBytes: 65_536,
        messagesPerSecond: 50,
        messageBurst: 100,
        connectionsPerIp: 10_000,
        connectionsPerUser: 10_000,
        connectionsPerTenant: 10_000,
        connections: 20_000,
      },
    });
  });

  const token = () => tokenOf('acme');
  const WAYS: [what: string, path: () => string, options: () => WebSocketOptions][] = [
    ['in the header', () => '/ws', () => authorized()],
    ['in the address', () => `/ws?token=${token()}`, () => ({})],
    ['as subprotocol', () => '/ws', () => ({ protocols: ['bearer', token()] })],
    [
      'in the address, beside a header of a proxy',
      () => `/ws?token=${token()}`,
      () => ({ headers: { authorization: 'Basic x' } }),
    ],
  ];
  it.each(WAYS)('comes into being with a token %s', async (_what, path, options) => {
    const client = await connect(path(), options());
    expect(await client.next('connected')).toMatchObject({ userId: 'acme' });
    expect(client.socket.protocol).toBe(options().protocols ? 'bearer' : '');
  });

  it('comes into being with an API key', async () => {
    const roles = new Set(['subscriber'] as const);
    const { key } = await server.apiKeys.create(
      { ownerId: 'acme', userId: 'acme', roles },
      { name: 'test' },
    );
    const client = await connect('/ws', { headers: { 'x-api-key': key } });
    expect(await client.next('connected')).toMatchObject({ userId: 'acme' });
  });

  const REFUSED: [status: number, code: string, path: string, options?: () => WebSocketOptions][] =
    [
      [401, 'missing_credentials', '/ws'],
      [401, 'invalid_token', '/ws?token=nonsense'],
      [401, 'invalid_token', '/ws?token='],
      [401, 'ambiguous_credentials', '/ws?token=a&token=b'],
      [401, 'invalid_token', '/ws', () => ({ protocols: ['bearer', 'nonsense'] })],
      [401, 'token_expired', '/ws', () => authorized('acme', { exp: seconds() - 60 })],
      [401, 'invalid_api_key', '/ws', () => ({ headers: { 'x-api-key': 'no' } })],
      [404, 'route_not_found', '/ws/a/b/c', authorized],
      [404, 'route_not_found', '/ws//b', authorized],
      [400, 'malformed_request', '/ws/%ff', authorized],
      [422, 'invalid_input', '/ws/not.*.good/AAPL', authorized],
      [403, 'forbidden', '/ws/trade/AAPL', () => authorized('acme', { topics: ['price.*'] })],
      [400, 'upgrade_not_supported', '/elsewhere', authorized],
    ];
  it.each(REFUSED)('is refused as a problem: %i %s at %s', async (status, code, path, options) => {
    const refused = await WebSocketClient.refused(server.url, path, options?.());
    expect(refused).toMatchObject({ status, body: { status, code, type: 'about:blank' } });
    expect(refused.headers['content-type']).toContain('application/problem+json');
    expect(refused.headers['www-authenticate']).toBe(
      status === 401 ? 'Bearer realm="tidings"' : undefined,
    );
  });

  it('of a page is accepted if the origin is allowed', async () => {
    const { host } = new URL(server.url);
    const own = await connect('/ws', { ...authorized(), origin: `http://${host}` });
    await own.next('connected');
    const refused = await WebSocketClient.refused(server.url, '/ws', {
      ...authorized(),
      origin: 'https://evil.example',
    });
    expect(refused).toMatchObject({ status: 403, body: { code: 'origin_not_allowed' } });
  });

  it('receives an event with the same content as Socket.IO, once', async () => {
    const owner = randomUUID();
    const plain = await connect('/ws', authorized(owner));
    const socket = await SocketClient.connect(server.url, { auth: { token: tokenOf(owner) } });
    clients.push(socket);
    await plain.request('subscribe', { topics: ['*', 'trade.*', { type: '*', subject: 'A' }] });
    await socket.subscribe('*');
    const envelope = {
      id: 'evt_01',
      type: 'trade.submitted',
      timestamp: '2026-01-31T12:00:00.000Z',
      subject: 'A',
      data: { text: 'ünï ☃ 𝄞', type: 'event' },
    };
    const body = JSON.stringify(envelope);
    server.publish({ ...envelope, ownerId: owner, body });
    expect(await plain.next('event')).toEqual({ type: 'event', event: envelope });
    expect(await socket.next('event')).toEqual(envelope);
    server.publish({ ownerId: randomUUID() });
    const last = server.publish({ ownerId: owner });
    expect(await plain.eventsUntil(last)).toEqual([last]);
  });

  it('subscribes on arrival to the topic in its address', async () => {
    const client = await connect('/ws/predictions/A%2FB');
    expect(await client.next('ack')).toEqual({
      type: 'ack',
      request: 'subscribe',
      ok: true,
      topics: [{ type: 'predictions', subject: 'A/B' }],
      position,
    });
    server.publish({ type: 'predictions', subject: 'A' });
    const received = server.publish({ type: 'predictions', subject: 'A/B' });
    expect(await client.eventsUntil(received)).toEqual([received]);
  });

  it('asks the same things and gets the same answers as with Socket.IO', async () => {
    const client = await connect('/ws', authorized(randomUUID(), { topics: ['trade.*'] }));
    expect(await client.request('subscribe', { topics: ['trade.a', 'trade.b'] })).toEqual({
      type: 'ack',
      request: 'subscribe',
      requestId: 1,
      ok: true,
      topics: ['trade.a', 'trade.b'],
      position,
    });
    expect(await client.request('unsubscribe', { topics: ['trade.a'] })).toMatchObject({
      ok: true,
      topics: ['trade.b'],
    });
    expect(await client.request('subscribe', { topics: ['price'] })).toMatchObject({
      ok: false,
      error: { code: 'forbidden' },
    });
    expect(await client.request('subscribe', { topics: 5 })).toMatchObject({
      ok: false,
      error: { code: 'invalid_input', message: expect.stringMatching(/^topics/) as unknown },
    });
    expect(await client.request('ping')).toMatchObject({ ok: true });
    await client.next('pong');
    expect(await client.request('nonsense')).toMatchObject({
      ok: false,
      error: { code: 'unknown_event' },
    });
  });

  it.each([
    ['a number', '5'],
    ['an array', '[]'],
    ['an unknown message_type', '{"message":"a","message_type":"shout"}'],
    ['bytes', Buffer.from('{"type":"ping"}')],
  ])('gets an error for %s, which is no message, and stays open', async (_what, frame) => {
    const client = await connect();
    client.send(frame);
    expect(await client.next('error')).toMatchObject({ code: 'invalid_input', reconnect: false });
    expect(await client.request('ping')).toMatchObject({ ok: true });
  });

  it('sends text that is not JSON to all of its owner, and to no other client', async () => {
    const [ours, theirs] = [randomUUID(), randomUUID()];
    const [speaker, listener] = [
      await connect('/ws', authorized(ours)),
      await connect('/ws', authorized(ours)),
    ];
    const stranger = await connect('/ws', authorized(theirs));
    const control = await connect('/ws', authorized(theirs));
    speaker.send('hello ☃');
    for (const each of [listener, speaker]) expect(await each.nextText()).toBe('hello ☃');
    listener.send('you too');
    for (const each of [listener, speaker]) expect(await each.nextText()).toBe('you too');
    control.send('control');
    expect(await stranger.nextText()).toBe('control');
  });

  it('ends alone when its frame is too large', async () => {
    const [large, bystander] = [await connect(), await connect()];
    large.send('x'.repeat(65_537));
    expect(await large.closed).toMatchObject({ code: 1009 });
    bystander.send('x'.repeat(65_536));
    expect(await bystander.request('ping')).toMatchObject({ ok: true });
  });

  it('survives any frame', { tags: ['properties'] }, async () => {
    const bystander = await connect();
    const frame = fc.oneof(
      fc.json(),
      fc.string({ unit: 'binary' }),
      fc
        .record({
          type: fc.constantFrom('subscribe', 'auth:refresh', '__proto__'),
          topics: fc.anything(),
        })
        .map((each) => JSON.stringify(each) ?? ''),
      fc.uint8Array().map((bytes) => Buffer.from(bytes)),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(frame, { maxLength: 20 }), async (frames) => {
        const client = await connect();
        for (const each of frames) client.send(each);
        expect(await client.request('ping')).toMatchObject({ ok: true });
        client.close();
      }),
      { numRuns: propertyRuns(30) },
    );
    expect(await bystander.request('ping')).toMatchObject({ ok: true });
  });

  it('ends with its token, and may come back', async () => {
    const client = await connect('/ws', authorized('acme', { exp: seconds() + 2 }));
    expect(await client.next('error')).toMatchObject({ code: 'token_expired', reconnect: true });
    expect(await client.closed).toEqual({ code: 3001, reason: 'token_expired' });
  });

  it('ends when its API key is revoked, and may not', async () => {
    const owner = { ownerId: 'acme', userId: 'acme', roles: new Set(['subscriber'] as const) };
    const { key, entity } = await server.apiKeys.create(owner, { name: 'test' });
    const client = await connect('/ws', { headers: { 'x-api-key': key } });
    await server.apiKeys.revoke(owner, entity.id);
    expect(await client.next('error')).toMatchObject({ code: 'invalid_api_key', reconnect: false });
    expect(await client.closed).toEqual({ code: 3500, reason: 'invalid_api_key' });
  });
});

describe('a plain WebSocket that the server has closed', () => {
  it('is ignored, whatever it still sends', async () => {
    const token = tokenOf('acme');
    const other = await connect('/ws', { headers: { authorization: `Bearer ${token}` } });
    const received: string[] = [];
    other.socket.on('message', (data: Buffer) => void received.push(data.toString()));
    const socket = await upgradeOf(server, token);
    const connections = server.app.get(Connections, { strict: false });
    const [last] = [...connections.all()].slice(-1);
    last!.close('closed_by_operator');
    socket.write(maskedText('{"type":"broadcast","message":"late"}'));
    socket.write(maskedText('late'));
    await once(socket.resume(), 'end');
    socket.destroy();
    await other.request('broadcast', { message: 'in time' });
    expect(await other.next('message')).toMatchObject({ message: 'in time' });
    expect(received.filter((frame) => frame.includes('late'))).toEqual([]);
  });
});

describe('the heartbeat of a plain WebSocket', () => {
  it('keeps clients that answer, in either way, and disconnects others', async () => {
    const app = await startRealtimeApp(database.url, { REALTIME_HEARTBEAT_MS: '300' });
    const speaking = await WebSocketClient.connect(app.url);
    const ponging = await WebSocketClient.connect(app.url, '/ws', authorized());
    const silent = await WebSocketClient.connect(app.url, '/ws', {
      ...authorized(),
      autoPong: false,
    });
    await speaking.next('ping');
    expect(await silent.closed).toEqual({ code: 3003, reason: 'no_answer' });
    expect(await speaking.request('ping')).toMatchObject({ ok: true });
    expect(await ponging.request('ping')).toMatchObject({ ok: true });
    await app.close();
  });
});

describe('a server that stops', () => {
  it('says to plain WebSockets when to connect again, and closes them', async () => {
    const app = await startRealtimeApp(database.url);
    const all = await Promise.all(
      Array.from({ length: 10 }, () => WebSocketClient.connect(app.url)),
    );
    for (const client of all) await client.request('subscribe', { topics: ['*'] });
    const last = app.publish({});
    await app.close();
    const waits = new Set<unknown>();
    for (const client of all) {
      expect(await client.eventsUntil(last)).toEqual([last]);
      waits.add((await client.next('draining'))['reconnectInMs']);
      expect(await client.closed).toEqual({ code: 3000, reason: 'draining' });
    }
    expect(waits.size).toBeGreaterThan(1);
  });

  it('waits neither for one that hangs nor for one that never came in', async () => {
    const app = await startRealtimeApp(database.url);
    const sockets = [await upgradeOf(app, tokenOf('acme')), await upgradeOf(app, 'nonsense')];
    await expect(app.close()).resolves.toBeUndefined();
    for (const socket of sockets) socket.destroy();
  }, 10_000);
});

/** Asks for an upgrade and then neither reads nor closes. */
async function upgradeOf({ url }: RealtimeApp, token: string): Promise<Socket> {
  const { port, host } = new URL(url);
  const socket = connectTcp({ port: Number(port), host: '127.0.0.1', allowHalfOpen: true });
  socket.on('error', () => undefined);
  socket.write(
    `GET /ws?token=${token} HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\n` +
      'Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  );
  await once(socket, 'data');
  socket.pause();
  return socket;
}

/** A short text as a frame of a client (RFC 6455, 5.2), with a mask that changes nothing. */
const maskedText = (text: string): Buffer =>
  Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), Buffer.from(text)]);

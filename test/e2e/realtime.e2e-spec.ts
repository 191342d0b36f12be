import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newId } from '../../src/shared/ids.js';
import { type RealtimeApp, startRealtimeApp, tokenOf } from '../support/realtime-app.js';
import { untilTestEnds } from '../support/short-lived.js';
import { type ClientOptions, SocketClient } from '../support/socket-client.js';
import { createDatabase, type TestDatabase } from '../support/stores.js';
import { seconds } from '../support/auth-app.js';

let database: TestDatabase;
let server: RealtimeApp;

async function connect(token: string, options: ClientOptions = {}): Promise<SocketClient> {
  return untilTestEnds(await SocketClient.connect(server.url, { auth: { token }, ...options }));
}

/** A client of an owner of its own. */
const position = expect.stringMatching(/^pos_/) as unknown;
const anyClient = (claims?: object) => connect(tokenOf(randomUUID(), claims));

beforeAll(async () => {
  database = await createDatabase();
  server = await startRealtimeApp(database.url);
});

afterAll(async () => {
  await server?.close();
  await database?.drop();
});

describe.each([['websocket'], ['polling']] as const)('a connection over %s', (transport) => {
  const transports = [transport];

  it('is greeted with who it is and what it may do', async () => {
    const client = await connect(tokenOf('acme'), { transports });
    expect(await client.next('connected')).toEqual({
      connectionId: expect.stringMatching(/^con_[0-9a-z]{26}$/) as unknown,
      userId: 'acme',
      serverTime: expect.stringMatching(/^\d{4}-.*Z$/) as unknown,
      heartbeatMs: 25_000,
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
      position,
    });
  });

  it('comes into being with a token in the Authorization header', async () => {
    const extraHeaders = { authorization: `Bearer ${tokenOf('acme')}` };
    const options = { transports, extraHeaders };
    const client = untilTestEnds(await SocketClient.connect(server.url, options));
    expect(await client.next('connected')).toMatchObject({ userId: 'acme' });
  });

  it('comes into being with an API key', async () => {
    const roles = new Set(['subscriber'] as const);
    const { key } = await server.apiKeys.create(
      { ownerId: 'acme', userId: 'acme', roles },
      { name: 'test' },
    );
    const extraHeaders = { 'x-api-key': key };
    const options = { transports, extraHeaders };
    const client = untilTestEnds(await SocketClient.connect(server.url, options));
    expect(await client.next('connected')).toMatchObject({ userId: 'acme' });
  });

  it('prefers auth.token to a header that a proxy may have added', async () => {
    const extraHeaders = { authorization: 'Basic cHJveHk6cHJveHk=' };
    const client = await connect(tokenOf('acme'), { transports, extraHeaders });
    expect(await client.next('connected')).toMatchObject({ userId: 'acme' });
  });

  const REFUSED: [what: string, code: string, options: () => ClientOptions][] = [
    ['nothing', 'missing_credentials', () => ({})],
    ['a null token and nothing else', 'missing_credentials', () => ({ auth: { token: null } })],
    ['a token that is none', 'invalid_token', () => ({ auth: { token: 'nonsense' } })],
    ['an empty token', 'invalid_token', () => ({ auth: { token: '' } })],
    ['a token that is not text', 'invalid_token', () => ({ auth: { token: { a: 1 } } })],
    ['a huge token', 'invalid_token', () => ({ auth: { token: 'x'.repeat(60_000) } })],
    [
      'an expired token',
      'token_expired',
      () => ({ auth: { token: tokenOf('acme', { exp: seconds() - 60 }) } }),
    ],
    ['an unknown API key', 'invalid_api_key', () => ({ extraHeaders: { 'x-api-key': 'no' } })],
    [
      'a good token and an API key in headers',
      'ambiguous_credentials',
      () => ({ extraHeaders: { authorization: `Bearer ${tokenOf('acme')}`, 'x-api-key': 'no' } }),
    ],
    [
      'a good token in the address',
      'token_in_query',
      () => ({ query: { token: tokenOf('acme') } }),
    ],
    [
      'a good token in the address beside another',
      'token_in_query',
      () => ({ auth: { token: tokenOf('acme') }, query: { Access_Token: tokenOf('acme') } }),
    ],
  ];
  it.each(REFUSED)('is refused with %s: %s', async (_what, code, options) => {
    const refused = await SocketClient.refused(server.url, { transports, ...options() });
    expect(refused.data).toEqual({ code, message: refused.message });
  });

  it('receives an event with the same content as webhooks', async () => {
    const client = await connect(tokenOf('acme'), { transports });
    await client.subscribe('trade.*');
    const envelope = {
      id: newId('evt'),
      type: 'trade.submitted',
      timestamp: '2026-01-31T12:00:00.000Z',
      data: { text: 'ünï ☃ 𝄞', deep: [{ a: null }], _placeholder: true, num: 0 },
    };
    server.publish({ ...envelope, ownerId: 'acme', body: JSON.stringify(envelope) });
    expect(await client.next('event')).toEqual(envelope);
  });
});

describe('the audience of an event', () => {
  it('is its owner and admins, and no other client', async () => {
    const [a, b] = [randomUUID(), randomUUID()];
    const alice = await connect(tokenOf(a));
    const bob = await connect(tokenOf(b));
    const admin = await connect(tokenOf(randomUUID(), { roles: ['admin'] }));
    for (const client of [alice, bob, admin]) await client.subscribe('*');

    const ofAlice = server.publish({ ownerId: a });
    const ofBob = server.publish({ ownerId: b });
    const publicId = server.publish({});

    expect(await alice.eventsUntil(publicId)).toEqual([ofAlice, publicId]);
    expect(await bob.eventsUntil(publicId)).toEqual([ofBob, publicId]);
    expect(await admin.eventsUntil(publicId)).toEqual([ofAlice, ofBob, publicId]);
  });

  it('is right for owners whose ids look like parts of a room', async () => {
    const owners = ['a', 'a:*', '1:a', 'a#x', 'public', 'all', 'owner:1:a'];
    const listeners = await Promise.all(owners.map((owner) => connect(tokenOf(owner))));
    for (const listener of listeners) await listener.subscribe('*');
    const ids = owners.map((ownerId) => server.publish({ ownerId }));
    const end = server.publish({});
    for (const [index, listener] of listeners.entries()) {
      expect(await listener.eventsUntil(end)).toEqual([ids[index], end]);
    }
  });

  const a = { type: 'snft.price.changed', subject: 'snft:1' };
  const MATCHING: [topic: unknown, isReceived: boolean][] = [
    ['snft.price.changed', true],
    ['snft.price.*', true],
    ['snft.*', true],
    ['*', true],
    [{ type: 'snft.*' }, true],
    [{ type: 'snft.price.changed', subject: 'snft:1' }, true],
    [{ type: 'snft.*', subject: 'snft:1' }, true],
    [{ type: '*', subject: 'snft:1' }, true],
    ['snft', false],
    ['snft.price', false],
    ['snft.price.changed.*', false],
    ['snf.*', false],
    ['SNFT.*', false],
    [{ type: 'snft.price.changed', subject: 'snft:2' }, false],
    [{ type: '*', subject: 'snft' }, false],
  ];
  it.each(MATCHING)('with the topic %j: %s', async (topic, isReceived) => {
    const client = await anyClient();
    await client.subscribe(topic, 'the.end');
    const id = server.publish(a);
    const end = server.publish({ type: 'the.end' });
    expect(await client.eventsUntil(end)).toEqual(isReceived ? [id, end] : [end]);
  });

  it('does not include topics with a subject when the event has none', async () => {
    const client = await anyClient();
    await client.subscribe({ type: '*', subject: 'x' });
    server.publish({ subject: null });
    const control = server.publish({ subject: 'x' });
    expect(await client.eventsUntil(control)).toEqual([control]);
  });

  it('contains a connection once, however many of its topics match', async () => {
    const client = await anyClient();
    await client.subscribe('*', 'trade.*', 'trade.submitted', { type: '*', subject: 'AAPL' });
    const first = server.publish({ subject: 'AAPL' });
    const second = server.publish({ subject: 'AAPL' });
    expect(await client.eventsUntil(second)).toEqual([first, second]);
  });

  it('does not contain a connection after it has unsubscribed', async () => {
    const client = await anyClient();
    await client.subscribe('trade.*', 'the.end');
    const before = server.publish({});
    const answer = await client.request('unsubscribe', { topics: ['trade.*', 'never.had'] });
    expect(answer).toEqual({ ok: true, topics: ['the.end'] });
    server.publish({});
    const end = server.publish({ type: 'the.end' });
    expect(await client.eventsUntil(end)).toEqual([before, end]);
  });

  it('keeps the order in which events were published', async () => {
    const client = await anyClient();
    await client.subscribe('trade.*');
    const ids = Array.from({ length: 200 }, () => server.publish({}));
    expect(await client.eventsUntil(ids.at(-1)!)).toEqual(ids);
  });

  it('sends the other events when one cannot be encoded', async () => {
    const client = await anyClient();
    await client.subscribe('trade.*');
    server.publish({ body: `${'['.repeat(100_000)}${']'.repeat(100_000)}` });
    server.publish({ body: 'this is not JSON' });
    const control = server.publish({});
    expect(await client.eventsUntil(control)).toEqual([control]);
  });
});

describe('subscribe', () => {
  it('answers with all topics of the connection, each once', async () => {
    const client = await anyClient();
    expect(await client.subscribe('trade.*', { type: 'trade.*' }, 'trade.*')).toEqual({
      ok: true,
      topics: ['trade.*'],
      position,
    });
    expect(await client.subscribe({ type: 'a', subject: 'b' }, 'a')).toEqual({
      ok: true,
      topics: ['trade.*', { type: 'a', subject: 'b' }, 'a'],
      position,
    });
  });

  it('refuses what the token does not allow, and then subscribes to nothing', async () => {
    const client = await anyClient({ topics: ['trade.*', 'the.end'] });
    const answer = await client.request('subscribe', { topics: ['trade.submitted', 'price.*'] });
    expect(answer).toEqual({
      ok: false,
      error: { code: 'forbidden', message: expect.stringContaining('price.*') as unknown },
    });
    expect(await client.request('subscribe', { topics: ['*'] })).toMatchObject({ ok: false });

    expect(await client.subscribe('the.end')).toEqual({ ok: true, topics: ['the.end'], position });
    server.publish({ type: 'trade.submitted' });
    const end = server.publish({ type: 'the.end' });
    expect(await client.eventsUntil(end)).toEqual([end]);
  });

  it('takes a hundred topics per connection and not one more', async () => {
    const client = await anyClient();
    await client.subscribe(...Array.from({ length: 99 }, (_, n) => `type-${n}`));
    expect(await client.request('subscribe', { topics: ['a', 'b'] })).toMatchObject({
      ok: false,
      error: { code: 'too_many_topics' },
    });
    await client.subscribe('a', 'type-1');
    expect(await client.request('subscribe', { topics: ['b'] })).toMatchObject({ ok: false });
    await client.request('unsubscribe', { topics: ['a'] });
    await client.subscribe('b');
  });

  const text = 'x'.repeat(60_000);
  const BAD: [what: string, payload: unknown[], field: string][] = [
    ['nothing', [], 'payload'],
    ['null', [null], 'payload'],
    ['text', ['trade.*'], 'payload'],
    ['a number', [5], 'payload'],
    ['an array', [['trade.*']], 'payload'],
    ['two arguments', [{ topics: ['a'] }, { topics: ['b'] }], 'payload'],
    ['bytes', [Buffer.from('trade.*')], 'topics'],
    ['an empty object', [{}], 'topics'],
    ['no topics', [{ topics: [] }], 'topics'],
    ['topics that are text', [{ topics: 'trade.*' }], 'topics'],
    ['topics that are an object', [{ topics: { 0: 'trade.*', length: 1 } }], 'topics'],
    ['too many topics in one frame', [{ topics: Array(101).fill('a') }], 'topics'],
    ['thousands of topics', [{ topics: Array(20_000).fill(1) }], 'topics'],
    ['an unknown field', [{ topics: ['a'], after: 'evt_1' }], 'after'],
    ['an unknown field with a huge name', [{ topics: ['a'], [text]: 1 }], 'xxx'],
    ['a topic that is null', [{ topics: ['a', null] }], 'topics[1]'],
    ['a topic that is an array', [{ topics: [['a']] }], 'topics[0]'],
    ['a topic that is bytes', [{ topics: [Buffer.from('a')] }], 'topics[0]'],
    ['an unknown field of a topic', [{ topics: [{ type: 'a', x: 1 }] }], 'topics[0].x'],
    ['a topic without a type', [{ topics: [{ subject: 'a' }] }], 'topics[0].type'],
    ['a bad pattern', [{ topics: ['a', 'trade.*.x'] }], 'topics[1].type'],
    ['an empty pattern', [{ topics: [''] }], 'topics[0].type'],
    ['a pattern with NUL', [{ topics: ['trade\u0000'] }], 'topics[0].type'],
    ['a huge pattern', [{ topics: [text] }], 'topics[0].type'],
    ['a huge subject', [{ topics: [{ type: 'a', subject: text }] }], 'topics[0].subject'],
    ['a subject with NUL', [{ topics: [{ type: 'a', subject: '\u0000' }] }], 'topics[0].subject'],
    ['an empty subject', [{ topics: [{ type: 'a', subject: '' }] }], 'topics[0].subject'],
    ['a null subject', [{ topics: [{ type: 'a', subject: null }] }], 'topics[0].subject'],
  ];
  it.each(BAD)('refuses %s and names the field', async (_what, payload, field) => {
    const client = await anyClient();
    for (const name of ['subscribe', 'unsubscribe']) {
      const { ok, error } = (await client.request(name, ...payload)) as {
        ok: boolean;
        error: { code: string; message: string };
      };
      expect({ ok, code: error.code }).toEqual({ ok: false, code: 'invalid_input' });
      expect(error.message.startsWith(field)).toBe(true);
      expect(error.message.length).toBeLessThan(300);
    }
    expect(await client.request('ping', {})).toEqual({ ok: true });
  });
});

describe('other messages', () => {
  it('ping is answered in the acknowledgement and with a pong', async () => {
    const client = await anyClient();
    expect(await client.request('ping', {})).toEqual({ ok: true });
    expect(await client.next('pong')).toEqual({ serverTime: expect.any(String) as unknown });
    client.socket.emit('ping');
    await client.next('pong');
    expect(await client.request('ping', { a: 1 })).toMatchObject({
      ok: false,
      error: { code: 'invalid_input', message: expect.stringContaining('a') as unknown },
    });
  });

  it.each(['nonsense', 'event', 'connected', 'constructor', '__proto__', 'error'])(
    'an event that does not exist (%s) is answered as such',
    async (name) => {
      const client = await anyClient();
      const message = expect.any(String) as unknown;
      expect(await client.request(name, {})).toEqual({
        ok: false,
        error: { code: 'unknown_event', message },
      });
      client.socket.emit(name, {});
      expect(await client.next('error')).toEqual({
        code: 'unknown_event',
        message,
        reconnect: false,
      });
    },
  );

  it('a refusal without acknowledgement comes as an error event', async () => {
    const client = await anyClient();
    client.socket.emit('subscribe', { topics: 5 }, 'not a function');
    client.socket.emit('subscribe', { topics: 5 });
    for (let n = 0; n < 2; n++) {
      expect(await client.next('error')).toMatchObject({ code: 'invalid_input', reconnect: false });
    }
  });

  it('a frame that is too large ends its own connection only', async () => {
    const bystander = await anyClient();
    for (const transports of [['websocket'], ['polling']]) {
      const client = await connect(tokenOf('acme'), { transports });
      client.socket.emit('subscribe', { topics: ['x'.repeat(1_000_000)] });
      await client.next('disconnect');
    }
    expect(await bystander.request('ping', {})).toEqual({ ok: true });
  });
});

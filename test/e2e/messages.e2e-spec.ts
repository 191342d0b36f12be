import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { newId } from '../../src/shared/ids.js';
import type { RealtimeApp } from '../support/realtime-app.js';
import { eventStream, socketIo, startApp, startApps, webSocket } from '../support/short-lived.js';
import type { SocketClient } from '../support/socket-client.js';
import { type RedisServer, startRedisServer } from '../support/stores.js';

/** Of its own: a broadcast of an admin reaches all clients on the same Redis. */
let shared: RedisServer;

beforeAll(async () => {
  shared = await startRedisServer();
});
afterAll(() => shared.stop());

/** Two applications that know each other. */
const startPair = (url = shared.url) => startApps({ REDIS_URL: url }, { REDIS_URL: url });

/** A listener like the others: they say `next`, and get what was sent. */
async function stream(app: RealtimeApp, owner: string, query = '') {
  const reader = await eventStream(app, owner, query);
  return { next: async (name: string) => (await reader.next(name)).data };
}

const idOf = async (client: { next(name: string): Promise<Record<string, unknown>> }) =>
  String((await client.next('connected'))['connectionId']);

const ADMIN = { roles: ['admin'] };
const isTime = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/) as unknown;

/** Sends a message to all clients, so that every earlier message has arrived before it. */
async function expectNothingBut(
  control: SocketClient,
  ...clients: { next(name: string): Promise<Record<string, unknown>> }[]
): Promise<void> {
  const message = newId('evt');
  expect(await control.request('broadcast', { message })).toMatchObject({ ok: true });
  for (const client of clients) {
    expect(await client.next('message')).toMatchObject({ kind: 'broadcast', message });
  }
}

describe('a broadcast', () => {
  it('reaches all connections of its owner over every transport, and no other owner', async () => {
    const app = await startApp();
    const sender = await socketIo(app, 'ann');
    const from = { userId: 'ann', connectionId: await idOf(sender) };
    const listeners = [sender, await webSocket(app, 'ann'), await stream(app, 'ann')];
    const stranger = await socketIo(app, 'bob');
    const admin = await socketIo(app, 'root', ADMIN);
    for (const listener of listeners.slice(1)) await listener.next('connected');

    const message = { text: 'ünï ☃ 𝄞\u2028', deep: [[{ n: 1.5, none: null }]] };
    const answer = await sender.request('broadcast', { message });
    expect(answer).toEqual({ ok: true, delivered: 3 });
    for (const listener of listeners) {
      const notice = await listener.next('message');
      expect(notice).toEqual({
        ...('type' in notice && { type: 'message' }),
        kind: 'broadcast',
        from,
        message,
        timestamp: isTime,
      });
    }
    await expectNothingBut(admin, stranger);
  });

  it('without echo goes to all but its sender, also in a room', async () => {
    const [here, there] = await startPair();
    const owner = newId('evt');
    const sender = await socketIo(here, owner);
    const others = [await webSocket(here, owner), await socketIo(there, owner)];
    for (const other of others) {
      await other.next('connected');
      await other.request('subscribe', { topics: [{ type: 'chat', subject: 'lobby' }] });
    }
    const requests: [string, object][] = [
      ['broadcast', { message: 1, echo: false }],
      ['chat', { message: 2, echo: false }],
      ['chat', { room: 'lobby', message: 3, echo: false }],
    ];
    for (const [name, payload] of requests) {
      expect(await sender.request(name, payload)).toEqual({ ok: true, delivered: 1 });
    }
    for (const other of others) {
      for (const message of [1, 2, 3]) {
        expect(await other.next('message')).toMatchObject({ message });
      }
    }
    await expectNothingBut(sender, sender);
  });

  it('of an admin reaches all clients, on every node', async () => {
    const [a, b] = await startPair();
    const owners = [newId('key'), newId('key')];
    const clients = [await socketIo(a, owners[0]!), await webSocket(b, owners[1]!)];
    const admin = await socketIo(a, 'root', ADMIN);
    const answer = await admin.request('broadcast', { message: 'to all' });
    expect(answer).toEqual({ ok: true, delivered: 2 });
    for (const client of clients) {
      expect(await client.next('message')).toMatchObject({ kind: 'broadcast', message: 'to all' });
    }
  });

  it('reaches the owner in other processes, also after Redis was away', async () => {
    let redis = await startRedisServer();
    onTestFinished(() => redis.stop());
    const [a, b] = await startPair(redis.url);
    const sender = await webSocket(a, 'ann');
    const listener = await socketIo(b, 'ann');
    await sender.request('broadcast', { message: 1 });
    expect(await listener.next('message')).toMatchObject({ message: 1 });
    await redis.kill();
    expect(await sender.request('broadcast', { message: 2 })).toMatchObject({ delivered: 1 });
    redis = await startRedisServer({ port: redis.port });
    let isReceived = false;
    const sayAgain = async () => {
      await sender.request('broadcast', { message: 3 });
      return isReceived;
    };
    void listener.next('message').then(() => (isReceived = true));
    await expect.poll(sayAgain, { timeout: 15_000 }).toBe(true);
  });

  it('of text goes to all: as text where that is possible, and as a message elsewhere', async () => {
    const [a, b] = await startPair();
    const owner = newId('key');
    const [speaker, text, elsewhere] = [
      await webSocket(a, owner),
      await webSocket(a, owner),
      await webSocket(b, owner),
    ];
    const others = [await socketIo(a, owner), await stream(b, owner)];
    // The head of a stream comes before it is connected.
    for (const client of others) await client.next('connected');
    speaker.send('hello ☃ {');
    for (const client of [speaker, text, elsewhere]) {
      expect(await client.nextText()).toBe('hello ☃ {');
    }
    for (const client of others) {
      expect(await client.next('message')).toMatchObject({
        kind: 'broadcast',
        message: 'hello ☃ {',
        from: { userId: owner },
      });
    }
    text.send('you too');
    expect(await speaker.nextText()).toBe('you too');
  });
});

describe('a private message', () => {
  it('reaches one connection, or all of a user, wherever they are', async () => {
    const [a, b] = await startPair();
    const owner = newId('key');
    const [sender, near, far] = [
      await socketIo(a, owner),
      await webSocket(a, owner),
      await socketIo(b, owner),
    ];
    const [nearId, farId] = [await idOf(near), await idOf(far)];
    expect(await sender.request('private', { to: nearId, message: 'near' })).toEqual({
      ok: true,
      delivered: 1,
    });
    expect(await near.next('message')).toMatchObject({ kind: 'private', message: 'near' });
    expect(await sender.request('private', { to: farId, message: 'far' })).toMatchObject({
      ok: true,
    });
    expect(await far.next('message')).toMatchObject({ kind: 'private', message: 'far' });
    // The next message is for all of them: no client got a message for another one.
    await near.request('private', { to: owner, message: 'all' });
    for (const client of [sender, near, far]) {
      expect(await client.next('message')).toMatchObject({ kind: 'private', message: 'all' });
    }
  });

  it('does not reach another owner, unless an admin sends it', async () => {
    const app = await startApp();
    const ann = await socketIo(app, 'ann');
    const bob = await webSocket(app, 'bob');
    const bobs = await idOf(bob);
    const unknown = await ann.request('private', { to: newId('con'), message: 1 });
    expect(unknown).toEqual({ ok: true, delivered: 0 });
    // The same as for those that do not exist.
    for (const to of ['bob', bobs]) {
      expect(await ann.request('private', { to, message: 1 })).toEqual(unknown);
    }
    const admin = await socketIo(app, 'root', ADMIN);
    for (const to of ['bob', bobs]) {
      expect(await admin.request('private', { to, message: to })).toMatchObject({ delivered: 1 });
      expect(await bob.next('message')).toMatchObject({ message: to, from: { userId: 'root' } });
    }
  });
});

describe('the users of a tenant', () => {
  it('write to each other, and not to the same users of another tenant', async () => {
    const [a, b] = await startPair();
    const tenants = [newId('key'), newId('key')] as const;
    const ann = await socketIo(a, 'ann', { tenant: tenants[0] });
    const bob = await webSocket(b, 'bob', { tenant: tenants[0] });
    const foreign = await socketIo(b, 'bob', { tenant: tenants[1] });
    await Promise.all([ann, bob, foreign].map((client) => client.next('connected')));

    await ann.request('private', { to: 'bob', message: 'to one' });
    await ann.request('chat', { message: 'to the tenant' });
    await ann.request('broadcast', { message: 'to all' });
    for (const message of ['to one', 'to the tenant', 'to all']) {
      expect(await bob.next('message')).toMatchObject({ message, from: { userId: 'ann' } });
    }
    const control = await socketIo(b, 'carol', { tenant: tenants[1] });
    await control.request('private', { to: 'bob', message: 'the first' });
    expect(await foreign.next('message')).toMatchObject({ message: 'the first' });
  });
});

describe('a chat', () => {
  it('without a room is that of all connections of the owner', async () => {
    const app = await startApp();
    const clients = [await socketIo(app, 'ann'), await webSocket(app, 'ann')];
    const stranger = await socketIo(app, 'bob');
    expect(await clients[0]!.request('chat', { message: 'hi' })).toEqual({
      ok: true,
      delivered: 2,
    });
    for (const client of clients) {
      expect(await client.next('message')).toMatchObject({ kind: 'chat', message: 'hi' });
    }
    await expectNothingBut(stranger, stranger);
  });

  it('in a room is for those who have spoken there or subscribed to it, in every process', async () => {
    const [a, b] = await startPair();
    const owner = newId('key');
    const [speaker, listener, absent] = [
      await socketIo(a, owner),
      await webSocket(b, owner),
      await socketIo(b, owner),
    ];
    const stranger = await socketIo(a, newId('key'));
    const room = 'lobby №1 / α';
    await stranger.request('chat', { room, message: 'among us' });
    expect(await stranger.next('message')).toMatchObject({ message: 'among us' });
    const topics = [{ type: 'chat', subject: room }];
    expect(await listener.request('subscribe', { topics })).toMatchObject({ ok: true, topics });
    const reader = await stream(b, owner, `?types=chat&subject=${encodeURIComponent(room)}`);
    await reader.next('connected');

    expect(await speaker.request('chat', { room, message: 1 })).toMatchObject({ delivered: 1 });
    for (const client of [speaker, listener, reader]) {
      expect(await client.next('message')).toMatchObject({ kind: 'chat', room, message: 1 });
    }
    expect(await listener.request('chat', { room, message: 2 })).toMatchObject({ ok: true });
    expect(await speaker.next('message')).toMatchObject({ room, message: 2 });
    await speaker.request('unsubscribe', { topics });
    await listener.request('chat', { room, message: 3 });
    await expectNothingBut(absent, absent, speaker);
    expect(await stranger.request('ping', {})).toEqual({ ok: true });
    await expectNothingBut(stranger, stranger);
  });

  it('asks for a room that the credential may listen to', async () => {
    const app = await startApp();
    const client = await socketIo(app, 'ann', { topics: ['trade.*'] });
    expect(await client.request('chat', { room: 'a', message: 1 })).toMatchObject({
      ok: false,
      error: { code: 'forbidden' },
    });
    expect(await client.request('subscribe', { topics: ['trade.*'] })).toMatchObject({
      topics: ['trade.*'],
    });
  });
});

describe('a message that cannot be sent', () => {
  it('is refused with the invalid field, and reaches no client', async () => {
    const app = await startApp();
    const client = await socketIo(app, 'ann');
    const plain = await webSocket(app, 'ann');
    const long = 'x'.repeat(257);
    const cases: [string, unknown, string][] = [
      ['broadcast', undefined, 'payload'],
      ['broadcast', 'text', 'payload'],
      ['broadcast', {}, 'message'],
      ['broadcast', { message: 1, to: 'ann' }, 'to'],
      ['broadcast', { message: { a: ['\u0000'] } }, 'message.a[0]'],
      ['broadcast', { message: 12345678901234567890 }, 'message'],
      ['private', { message: 1 }, 'to'],
      ['private', { to: '', message: 1 }, 'to'],
      ['private', { to: ['ann'], message: 1 }, 'to'],
      ['private', { to: long, message: 1 }, 'to'],
      ['private', { to: 'ann' }, 'message'],
      ['chat', { room: '', message: 1 }, 'room'],
      ['chat', { room: 1, message: 1 }, 'room'],
      ['chat', { room: 'a\nb', message: 1 }, 'room'],
      ['chat', { room: long, message: 1 }, 'room'],
      ['chat', { room: 'a' }, 'message'],
    ];
    for (const [name, payload, field] of cases) {
      const title = `${name} ${JSON.stringify(payload)}`;
      const answer = await client.request(name, ...(payload === undefined ? [] : [payload]));
      expect(answer, title).toMatchObject({ ok: false, error: { code: 'invalid_input' } });
      const { message } = answer['error'] as { message: string };
      expect(message.split(':')[0], title).toBe(field);
      if (typeof payload !== 'object' || payload === null) continue;
      expect(await plain.request(name, payload), title).toMatchObject({
        ok: false,
        error: { message },
      });
    }
    await expectNothingBut(client, client, plain);
  });

  it('may be any JSON', async () => {
    const app = await startApp();
    const client = await socketIo(app, 'ann');
    for (const message of [null, 0, false, '', [], {}, 'x'.repeat(60_000)]) {
      expect(await client.request('broadcast', { message })).toEqual({ ok: true, delivered: 1 });
      expect((await client.next('message'))['message']).toEqual(message);
    }
  });
});

import { beforeAll, describe, expect, it } from 'vitest';
import { newId } from '../../src/shared/ids.js';
import { type RealtimeApp, startRealtimeApp, tokenOf } from '../support/realtime-app.js';
import { untilTestEnds } from '../support/short-lived.js';
import { SocketClient } from '../support/socket-client.js';
import { createDatabase } from '../support/stores.js';
import { authorized, WebSocketClient } from '../support/websocket-client.js';

let server: RealtimeApp;

beforeAll(async () => {
  const database = await createDatabase();
  server = await startRealtimeApp(database.url);
  return async () => {
    await server.close();
    await database.drop();
  };
});

const claims = (tenant: string) => ({ tenant });

/** Of a user of a tenant. */
const plain = async (user: string, tenant: string, path = '/ws') =>
  untilTestEnds(await WebSocketClient.connect(server.url, path, authorized(user, claims(tenant))));

const socketIo = async (user: string, tenant: string, auth: object = {}) =>
  untilTestEnds(
    await SocketClient.connect(server.url, {
      auth: { token: tokenOf(user, claims(tenant)), ...auth },
    }),
  );

/** All frames that come until the server answers, except `connected`. */
async function framesUntilAnswered(client: WebSocketClient): Promise<unknown[]> {
  const frames: unknown[] = [];
  const collect = (data: Buffer) => void frames.push(JSON.parse(data.toString()));
  client.socket.on('message', collect);
  await client.request('ping');
  client.socket.off('message', collect);
  return frames.slice(0, -2);
}

describe('a frame without a type', () => {
  it.each([
    [
      { message: 'hi', message_type: 'chat' },
      { kind: 'chat', message: 'hi' },
    ],
    [
      { message: { n: [1] }, message_type: 'broadcast' },
      { kind: 'broadcast', message: { n: [1] } },
    ],
    [{ message: 'hi' }, { kind: 'chat', message: 'hi' }],
    [
      { text: 'hi', n: 1 },
      { kind: 'chat', message: { text: 'hi', n: 1 } },
    ],
  ])('%j reaches all of the tenant, and is not answered', async (frame, message) => {
    const tenant = newId('key');
    const [ann, bob, stranger] = [
      await plain('ann', tenant),
      await socketIo('bob', tenant),
      await plain('bob', newId('key')),
    ];
    await Promise.all([ann, bob, stranger].map((client) => client.next('connected')));
    ann.send(frame);
    // The sender gets its own message, and no acknowledgement that it has not asked for.
    expect(await framesUntilAnswered(ann)).toMatchObject([{ type: 'message', ...message }]);
    expect(await bob.next('message')).toMatchObject({ ...message, from: { userId: 'ann' } });
    expect(await framesUntilAnswered(stranger)).toEqual([]);
  });

  it('is for one, under each name of a recipient', async () => {
    const tenant = newId('key');
    const [ann, bob, eve] = [
      await plain('ann', tenant),
      await plain('bob', tenant),
      await plain('eve', tenant),
    ];
    const connectionId = String((await bob.next('connected'))['connectionId']);
    await eve.next('connected');
    const names = ['to', 'target', 'target_id', 'recipient', 'recipient_id', 'client_id'];
    for (const [n, name] of names.entries()) {
      const to = n % 2 ? connectionId : 'bob';
      ann.send({ message: n, message_type: 'private', [name]: to });
      expect(await bob.next('message')).toMatchObject({ kind: 'private', message: n });
    }
    expect(await framesUntilAnswered(eve)).toEqual([]);
  });

  it('is answered with an ack only if it has a requestId', async () => {
    const ann = await plain('ann', newId('key'));
    ann.send({ message: 'hi', message_type: 'private', to: 'ann', requestId: 'r' });
    expect(await ann.next('ack')).toEqual({
      type: 'ack',
      request: 'message',
      requestId: 'r',
      ok: true,
      delivered: 1,
    });
    ann.send({ message: 'hi', message_type: 'shout', requestId: 7 });
    expect(await ann.next('ack')).toMatchObject({ requestId: 7, ok: false });
  });

  it('of a ping is answered with pong', async () => {
    const ann = await plain('ann', newId('key'));
    ann.send({ message: '', message_type: 'ping' });
    expect(await ann.next('pong')).toHaveProperty('serverTime');
  });

  it.each([
    [{ message: 'a', message_type: 'shout' }, 'message_type'],
    [{ message: 'a', message_type: ['chat'] }, 'message_type'],
    [{ message_type: 'chat' }, 'message'],
    [{ message: 'a', message_type: 'private' }, 'to'],
    [{ message: 'a', message_type: 'private', target: '' }, 'to'],
    [{ message: 'a', to: 'bob' }, 'to'],
    [{ message: 'a', room: '' }, 'room'],
    [{ message: 12345678901234567890 }, 'message'],
  ])(
    '%j is refused with an error that names the field, and reaches no client',
    async (frame, field) => {
      const tenant = newId('key');
      const [ann, bob] = [await plain('ann', tenant), await plain('bob', tenant)];
      await bob.next('connected');
      ann.send(frame);
      const error = await ann.next('error');
      expect(error).toMatchObject({ code: 'invalid_input', reconnect: false });
      expect(String(error['message']).split(':')[0]).toBe(field);
      expect(await framesUntilAnswered(bob)).toEqual([]);
    },
  );

  it('joins the room that it names', async () => {
    const tenant = newId('key');
    const [ann, bob] = [await plain('ann', tenant), await plain('bob', tenant)];
    ann.send({ message: 'first', room: 'lobby' });
    await ann.next('message');
    await bob.request('chat', { room: 'lobby', message: 'second' });
    expect(await ann.next('message')).toMatchObject({ room: 'lobby', message: 'second' });
  });
});

describe('the event message of Socket.IO', () => {
  it('is the same, and is answered by the acknowledgement', async () => {
    const tenant = newId('key');
    const [ann, bob] = [await socketIo('ann', tenant), await plain('bob', tenant)];
    await bob.next('connected');
    ann.socket.send({ message: 'hi', message_type: 'chat' });
    for (const client of [ann, bob]) {
      expect(await client.next('message')).toMatchObject({ kind: 'chat', message: 'hi' });
    }
    ann.socket.send('a text');
    expect(await bob.nextText()).toBe('a text');
    expect(await ann.next('message')).toMatchObject({ kind: 'broadcast', message: 'a text' });
    expect(await ann.request('message', { message: 1 })).toEqual({ ok: true, delivered: 2 });
    expect(await ann.request('message', 'text')).toEqual({ ok: true, delivered: 2 });
    const frame = { message: 1, message_type: 'ping' };
    expect(await ann.request('message', frame)).toEqual({ ok: true });
    await ann.next('pong');
  });

  it.each([
    [[{ message: 1, message_type: 'shout' }], 'message_type'],
    [[5], 'payload'],
    [['a', 'b'], 'payload'],
    [[], 'payload'],
    [[Buffer.from('{}')], 'payload'],
    [[{ message: Buffer.from('a') }], 'message'],
  ])('%j is refused, and names %s', async (args, field) => {
    const ann = await socketIo('ann', newId('key'));
    const answer = await ann.request('message', ...args);
    expect(answer).toMatchObject({ ok: false, error: { code: 'invalid_input' } });
    const { message } = answer['error'] as { message: string };
    expect(message.split(':')[0]).toBe(field);
  });

  it('without an acknowledgement is refused with an error', async () => {
    const ann = await socketIo('ann', newId('key'));
    ann.socket.send({ message: 1, message_type: 'shout' });
    expect(await ann.next('error')).toMatchObject({ code: 'invalid_input' });
  });
});

describe('the echo', () => {
  it.each([
    ['?echo=false', false],
    ['?echo=0', false],
    ['?echo=true', true],
    ['', true],
  ])('of a plain WebSocket with %j is sent: %s', async (query, isSent) => {
    const tenant = newId('key');
    const [ann, bob] = [await plain('ann', tenant, `/ws${query}`), await plain('bob', tenant)];
    await ann.next('connected');
    ann.send('text');
    ann.send({ message: 'chat' });
    ann.send({ message: 'broadcast', message_type: 'broadcast' });
    expect(await bob.nextText()).toBe('text');
    for (const kind of ['chat', 'broadcast']) {
      expect(await bob.next('message')).toMatchObject({ kind });
    }
    if (isSent) {
      expect(await ann.nextText()).toBe('text');
      for (const kind of ['chat', 'broadcast']) {
        expect(await ann.next('message')).toMatchObject({ kind });
      }
    }
    // A private message to oneself is meant.
    await ann.request('private', { to: 'ann', message: 'note' });
    expect(await ann.next('message')).toMatchObject({ kind: 'private', message: 'note' });
  });

  it('of Socket.IO is an option of auth, and of that connection only', async () => {
    const tenant = newId('key');
    const [quiet, loud] = [
      await socketIo('ann', tenant, { echo: false }),
      await socketIo('ann', tenant),
    ];
    expect(await quiet.request('chat', { message: 1 })).toEqual({ ok: true, delivered: 1 });
    expect(await loud.request('broadcast', { message: 2 })).toEqual({ ok: true, delivered: 2 });
    expect(await quiet.next('message')).toMatchObject({ message: 2 });
    for (const message of [1, 2]) expect(await loud.next('message')).toMatchObject({ message });
  });

  it('that cannot be read is refused', async () => {
    const options = authorized('ann');
    for (const query of ['echo=maybe', 'echo=', 'echo=true&echo=false', 'frames=all']) {
      const refused = await WebSocketClient.refused(server.url, `/ws?${query}`, options);
      const [field] = query.split('=');
      expect(refused).toMatchObject({ status: 422, body: { errors: [{ field }] } });
    }
    const auth = { token: tokenOf('ann'), echo: 5 };
    expect(await SocketClient.refused(server.url, { auth })).toMatchObject({
      data: { code: 'invalid_input' },
    });
  });
});

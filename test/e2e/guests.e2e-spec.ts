import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EventStreamReader } from '../support/event-stream-reader.js';
import { type RealtimeApp, startRealtimeApp, tokenOf } from '../support/realtime-app.js';
import { socketIo, untilTestEnds, webSocket } from '../support/short-lived.js';
import { SocketClient } from '../support/socket-client.js';
import { createDatabase, type TestDatabase } from '../support/stores.js';
import { authorized, WebSocketClient } from '../support/websocket-client.js';

const TENANT = 'acme';

let database: TestDatabase;
let server: RealtimeApp;

beforeAll(async () => {
  database = await createDatabase();
  server = await startRealtimeApp(database.url, { REALTIME_GUESTS: TENANT });
});

afterAll(async () => {
  await server?.close();
  await database?.drop();
});

type Payload = Record<string, unknown>;

interface Guest {
  connected: Payload;
  eventsUntil: (id: string) => Promise<string[]>;
}

const streamOf = ({ url }: RealtimeApp, query = '') => `${url}/api/v1/events/stream${query}`;

const plainGuest = async (app = server, path = '/ws'): Promise<WebSocketClient> =>
  untilTestEnds(await WebSocketClient.connect(app.url, path, {}));

const socketIoGuest = async (app = server, auth: object = {}): Promise<SocketClient> =>
  untilTestEnds(await SocketClient.connect(app.url, { auth }));

/** Connects without a credential and subscribes to `trade.*`. */
const TRANSPORTS: [string, () => Promise<Guest>][] = [
  [
    'Socket.IO',
    async () => {
      const client = await socketIoGuest();
      await client.subscribe('trade.*');
      const connected = await client.next('connected');
      return { connected, eventsUntil: (id) => client.eventsUntil(id) };
    },
  ],
  [
    'a plain WebSocket',
    async () => {
      const client = await plainGuest();
      await client.request('subscribe', { topics: ['trade.*'] });
      const connected = await client.next('connected');
      return { connected, eventsUntil: (id) => client.eventsUntil(id) };
    },
  ],
  [
    'an event stream',
    async () => {
      const address = streamOf(server, '?types=trade.*');
      const client = untilTestEnds(await EventStreamReader.open(address, {}));
      const { data: connected } = await client.next('connected');
      return { connected, eventsUntil: (id) => client.eventsUntil(id) };
    },
  ],
];

describe.each(TRANSPORTS)('a guest over %s', (_name, connect) => {
  it('is a user of its own, with limits of its own', async () => {
    const { connected } = await connect();
    expect(connected['userId']).toBe(`guest:${String(connected['connectionId'])}`);
    expect(connected['limits']).toMatchObject({
      messagesPerSecond: 5,
      messageBurst: 10,
      connections: 1_000,
      connectionsPerIp: 100,
    });
  });

  it('receives public events, and none of an owner', async () => {
    const { eventsUntil } = await connect();
    server.publish({ ownerId: TENANT });
    server.publish({ ownerId: 'other' });
    server.publish({ ownerId: '$public' });
    const first = server.publish({ ownerId: null });
    server.publish({ ownerId: TENANT, type: 'trade.settled' });
    const last = server.publish({ ownerId: null, type: 'trade.settled' });
    expect(await eventsUntil(last)).toEqual([first, last]);
  });
});

describe('a client with a credential', () => {
  it.each([
    ['invalid_token', '/ws?token=nonsense', {}],
    ['invalid_token', '/ws?token=', {}],
    ['invalid_token', '/ws', { protocols: ['bearer'] }],
    ['invalid_token', '/ws', { headers: { authorization: 'Basic x' } }],
    ['missing_credentials', '/ws', { headers: { authorization: '' } }],
    ['missing_credentials', '/ws', { headers: { 'x-api-key': '' } }],
    ['invalid_api_key', '/ws', { headers: { 'x-api-key': 'no' } }],
  ])('is no guest if it is wrong: %s at %s with %j', async (code, path, options) => {
    const refused = await WebSocketClient.refused(server.url, path, options);
    expect(refused).toMatchObject({ status: 401, body: { code } });
  });

  it('is no guest if it is wrong, over Socket.IO and event streams', async () => {
    for (const auth of [{ token: 'nonsense' }, { apiKey: 'no' }, { token: '' }]) {
      const { data } = await SocketClient.refused(server.url, { auth });
      expect(data?.code).toMatch(/^(invalid_|missing_)/);
    }
    for (const query of ['?token=nonsense', '?token=']) {
      expect((await fetch(streamOf(server, query))).status).toBe(401);
    }
  });

  it('cannot claim the role of a guest', async () => {
    const refused = await WebSocketClient.refused(
      server.url,
      '/ws',
      authorized(TENANT, { roles: ['guest'] }),
    );
    expect(refused).toMatchObject({ status: 403, body: { code: 'role_required' } });
  });
});

describe('a guest', () => {
  it('may do nothing over REST', async () => {
    for (const path of ['/event-types', '/api-keys', '/admin/connections']) {
      expect((await fetch(`${server.url}/api/v1${path}`)).status).toBe(401);
    }
  });

  it('exchanges messages with the users and guests of its tenant, and with no others', async () => {
    const [guest, other] = [await plainGuest(), await socketIoGuest()];
    const user = await socketIo(server, 'alice', { tenant: TENANT });
    const stranger = await socketIo(server, 'bob', { tenant: 'other' });
    const connected = await guest.next('connected');
    const guestId = String(connected['userId']);
    const from = { userId: guestId, connectionId: connected['connectionId'] };

    await guest.request('broadcast', { message: 'to all' });
    for (const each of [user, other]) {
      expect(await each.next('message')).toMatchObject({ kind: 'broadcast', from });
    }
    expect(await user.request('private', { to: guestId, message: 'hello' })).toMatchObject({
      ok: true,
      delivered: 1,
    });
    expect(await stranger.request('private', { to: guestId, message: 'x' })).toMatchObject({
      delivered: 0,
    });
    await stranger.request('broadcast', { message: 'to others' });
    await guest.next('message');
    expect(await guest.next('message')).toMatchObject({ kind: 'private', message: 'hello' });

    await other.subscribe({ type: 'chat', subject: 'lobby' });
    expect(await user.request('chat', { room: 'lobby', message: 'hi' })).toMatchObject({
      delivered: 2,
    });
    expect(await other.next('message')).toMatchObject({ kind: 'chat', room: 'lobby' });
    await stranger.request('chat', { room: 'lobby', message: 'no' });
    await guest.request('chat', { room: 'lobby', message: 'last' });
    expect(await other.next('message')).toMatchObject({ message: 'last' });
  });

  it('does not see who is connected, and stays a guest', async () => {
    const guest = await plainGuest();
    expect(await guest.request('presence', { topic: 'trade.*' })).toMatchObject({
      ok: false,
      error: { code: 'forbidden' },
    });
    const token = tokenOf('alice', { tenant: TENANT });
    expect(await guest.request('auth:refresh', { token })).toMatchObject({
      ok: false,
      error: { code: 'forbidden', message: expect.stringContaining('Connect again') as unknown },
    });
  });

  it('is seen by the users of its tenant', async () => {
    const guest = await plainGuest(server, '/ws/visitor-7');
    await guest.request('subscribe', { topics: ['price.*'] });
    const { userId } = await guest.next('connected');
    const user = await socketIo(server, 'alice', { tenant: TENANT });
    const { members } = await user.request('presence', { topic: 'price.*' });
    expect(members).toEqual([expect.objectContaining({ userId, clientId: 'visitor-7' })]);
  });
});

describe('limits of guests', () => {
  const start = async (env: Record<string, string>): Promise<RealtimeApp> =>
    untilTestEnds(await startRealtimeApp(database.url, { REALTIME_GUESTS: TENANT, ...env }));

  it.each(['REALTIME_MAX_GUESTS', 'REALTIME_MAX_GUESTS_PER_IP'])(
    'are apart from those of users: %s',
    async (setting) => {
      const app = await start({ [setting]: '2', REALTIME_MAX_CONNECTIONS: '1' });
      const [first] = [await plainGuest(app), await plainGuest(app)];
      const third = await plainGuest(app);
      expect((await third.closed).reason).toBe('too_many_connections');
      // The only connection of a user.
      const user = await webSocket(app, 'alice', { tenant: TENANT });
      await user.next('connected');
      first.close();
      user.close();
      await expect
        .poll(async () => {
          const next = await WebSocketClient.connect(app.url, '/ws', {});
          const { type } = await Promise.race([next.next('connected'), next.next('error')]);
          next.close();
          return type;
        })
        .toBe('connected');
    },
  );

  it('of messages are lower', async () => {
    const app = await start({ REALTIME_GUEST_MESSAGES_PER_SECOND: '1' });
    const [guest, user] = [await plainGuest(app), await webSocket(app, 'alice')];
    const pings = (client: WebSocketClient) =>
      Promise.all(Array.from({ length: 20 }, () => client.request('ping')));
    const refused = (answers: Payload[]) => answers.filter(({ ok }) => ok !== true);
    expect(refused(await pings(user))).toEqual([]);
    expect(refused(await pings(guest)).length).toBeGreaterThan(0);
  });
});

describe('messages of all guests together', () => {
  it('are limited, so that many guests do not flood the users', async () => {
    const app = untilTestEnds(
      await startRealtimeApp(database.url, {
        REALTIME_GUESTS: TENANT,
        REALTIME_GUEST_MESSAGES_PER_SECOND: '1',
      }),
    );
    const guests = await Promise.all(Array.from({ length: 80 }, () => plainGuest(app)));
    const answers = await Promise.all(
      guests.map((guest) => guest.request('broadcast', { message: 'x' })),
    );
    const codes = answers.flatMap(({ error }) => (error ? [(error as Payload)['code']] : []));
    expect(new Set(codes)).toEqual(new Set(['rate_limited']));
    const user = await webSocket(app, 'alice', { tenant: TENANT });
    expect(await user.request('broadcast', { message: 'y' })).toMatchObject({ ok: true });
  });
});

describe('limits of a tenant', () => {
  it('leave connections to other tenants, however many users it has', async () => {
    const app = untilTestEnds(
      await startRealtimeApp(database.url, { REALTIME_MAX_CONNECTIONS_PER_TENANT: '2' }),
    );
    for (const user of ['a', 'b'])
      await (await webSocket(app, user, { tenant: 'x' })).next('connected');
    const third = await webSocket(app, 'c', { tenant: 'x' });
    expect((await third.closed).reason).toBe('too_many_connections');
    const other = await webSocket(app, randomUUID());
    expect(await other.next('connected')).toMatchObject({ limits: { connectionsPerTenant: 2 } });
  });
});

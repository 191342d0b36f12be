import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RealtimeBus } from '../../src/cluster/realtime-bus.client.js';
import { Connections } from '../../src/realtime/connections/connections.service.js';
import { bearer } from '../support/auth-app.js';
import { eventually } from '../support/eventually.js';
import { EventStreamReader } from '../support/event-stream-reader.js';
import { type RealtimeApp, startRealtimeApp, tokenOf } from '../support/realtime-app.js';
import { socketIo, startApps, untilTestEnds, webSocket } from '../support/short-lived.js';
import { SocketClient } from '../support/socket-client.js';
import {
  createDatabase,
  type RedisServer,
  startRedisServer,
  type TestDatabase,
} from '../support/stores.js';
import { authorized, WebSocketClient } from '../support/websocket-client.js';

type Payload = Record<string, unknown>;

let redis: RedisServer;
let database: TestDatabase;
/** Two nodes. */
let one: RealtimeApp;
let two: RealtimeApp;

beforeAll(async () => {
  redis = await startRedisServer();
  database = await createDatabase();
  one = await startRealtimeApp(database.url, { REDIS_URL: redis.url });
  two = await startRealtimeApp(database.url, { REDIS_URL: redis.url });
});

afterAll(async () => {
  await Promise.all([one?.close(), two?.close()]);
  await database?.drop();
  await redis?.stop();
});

interface Client {
  connected: Payload;
  /** The reason with which the server has closed it. */
  closedFor(): Promise<string>;
}

interface Identity {
  clientId: string;
  replace?: boolean;
}

type Connect = (app: RealtimeApp, user: string, identity: Identity) => Promise<Client>;

const queryOf = ({ clientId, replace = false }: Identity) =>
  `?clientId=${encodeURIComponent(clientId)}&replace=${String(replace)}`;

const claims = { tenant: 'acme' };

const TRANSPORTS: [
  string,
  Connect,
  code: (app: RealtimeApp, user: string, identity: Identity) => Promise<unknown>,
][] = [
  [
    'a plain WebSocket',
    async (app, user, identity) => {
      const client = await webSocket(app, user, claims, `/ws${queryOf(identity)}`);
      const connected = await client.next('connected');
      const closedFor = async () => {
        const { code, reason } = await client.closed;
        expect(code).toBe(3503);
        return reason;
      };
      return { connected, closedFor };
    },
    async ({ url }, user, { clientId }) => {
      const refused = await WebSocketClient.refused(
        url,
        `/ws/${encodeURIComponent(clientId)}?replace=true`,
        authorized(user, claims),
      );
      expect([403, 422]).toContain(refused.status);
      return refused.body['code'];
    },
  ],
  [
    'Socket.IO',
    async (app, user, identity) => {
      const auth = { token: tokenOf(user, claims), ...identity };
      const client = untilTestEnds(await SocketClient.connect(app.url, { auth }));
      const connected = await client.next('connected');
      const closedFor = async () => {
        const error = await client.next('error');
        expect(error['reconnect']).toBe(false);
        expect(await client.next('disconnect')).toEqual({ reason: 'io server disconnect' });
        return String(error['code']);
      };
      return { connected, closedFor };
    },
    async ({ url }, user, identity) => {
      const options = {
        auth: { token: tokenOf(user, claims) },
        query: { ...identity, replace: 'true' },
      };
      return (await SocketClient.refused(url, options)).data?.code;
    },
  ],
  [
    'an event stream',
    async ({ url }, user, identity) => {
      const address = `${url}/api/v1/events/stream${queryOf(identity)}`;
      const headers = bearer(tokenOf(user, claims));
      const client = untilTestEnds(await EventStreamReader.open(address, headers));
      const { data: connected } = await client.next('connected');
      const closedFor = async () => {
        const { data, id } = await client.next('error');
        await client.closed;
        // `EventSource` comes back with the id, and stops at this status.
        const again = await fetch(address, { headers: { ...headers, 'last-event-id': id! } });
        expect(again.status).toBe(204);
        return String(data['code']);
      };
      return { connected, closedFor };
    },
    async ({ url }, user, identity) => {
      const response = await fetch(
        `${url}/api/v1/events/stream${queryOf({ ...identity, replace: true })}`,
        { headers: bearer(tokenOf(user, claims)) },
      );
      expect([403, 422]).toContain(response.status);
      return ((await response.json()) as { code: string }).code;
    },
  ],
];

describe.each(TRANSPORTS)('a client id over %s', (_name, connect, refusal) => {
  it('is in connected, which says of a second one that it is a duplicate, on any node', async () => {
    const clientId = randomUUID();
    const first = await connect(one, 'ann', { clientId });
    expect(first.connected).toMatchObject({ clientId });
    expect(first.connected).not.toHaveProperty('duplicateClientId');
    for (const [app, user] of [
      [one, 'ann'],
      [two, 'ann'],
      [two, 'bob'],
    ] as const) {
      const next = await connect(app, user, { clientId });
      expect(next.connected).toMatchObject({ clientId, duplicateClientId: true });
    }
  });

  it('is taken over on any node, and the older connections do not come back', async () => {
    const clientId = randomUUID();
    const older = [
      await connect(one, 'ann', { clientId }),
      await connect(two, 'ann', { clientId }),
    ];
    const newest = await connect(two, 'ann', { clientId, replace: true });
    expect(newest.connected).not.toHaveProperty('duplicateClientId');
    for (const each of older) expect(await each.closedFor()).toBe('replaced');
    const next = await connect(one, 'ann', { clientId, replace: true });
    expect(await newest.closedFor()).toBe('replaced');
    expect(next.connected).toMatchObject({ clientId });
  });

  it('is not taken over from another user', async () => {
    const clientId = randomUUID();
    await connect(one, 'ann', { clientId });
    expect(await refusal(two, 'bob', { clientId })).toBe('client_id_in_use');
    const other = await webSocket(
      one,
      'ann',
      { tenant: 'elsewhere' },
      `/ws/${clientId}?replace=true`,
    );
    expect(await other.next('connected')).not.toHaveProperty('duplicateClientId');
    const still = await connect(two, 'ann', { clientId });
    expect(still.connected).toMatchObject({ duplicateClientId: true });
  });

  it.each(['con_01h455vb4pex5vsknk084sn02q', 'guest:a', 'x'.repeat(129), 'a\u0000b'])(
    'is refused if it is %j',
    async (clientId) => {
      expect(await refusal(one, 'ann', { clientId })).toBe('invalid_input');
    },
  );
});

describe('connections that take over at once', () => {
  it('end with exactly one', async () => {
    for (let round = 0; round < 3; round++) {
      const clientId = randomUUID();
      await Promise.all(
        Array.from({ length: 6 }, (_, index) =>
          webSocket(index % 2 === 0 ? one : two, 'ann', claims, `/ws/${clientId}?replace=true`),
        ),
      );
      const open = () =>
        [one, two].flatMap(({ app }) => [
          ...app.get(Connections, { strict: false }).ofClient({ ownerId: 'acme', clientId }),
        ]);
      await eventually(async () => expect(await Promise.resolve(open().length)).toBe(1));
      expect(open()[0]!.isOpen).toBe(true);
    }
  });
});

describe('a takeover while Redis is away', () => {
  it('ends the older connection when the nodes reach each other again', async () => {
    const away = await startRedisServer();
    const apps = await startApps({ REDIS_URL: away.url }, { REDIS_URL: away.url });
    const clientId = randomUUID();
    const older = await webSocket(apps[0], 'ann', claims, `/ws/${clientId}`);
    await older.next('connected');
    await away.kill();
    await eventually(() => {
      for (const { app } of apps) {
        expect(app.get(RealtimeBus, { strict: false }).isConnected).toBe(false);
      }
    });
    const newer = await webSocket(apps[1], 'ann', claims, `/ws/${clientId}?replace=true`);
    await newer.next('connected');
    expect(older.socket.readyState).toBe(older.socket.OPEN);
    const again = await startRedisServer({ port: away.port });
    untilTestEnds({ close: () => again.stop() });
    expect(await older.closed).toEqual({ code: 3503, reason: 'replaced' });
    expect(await newer.request('ping')).toMatchObject({ ok: true });
  });
});

describe('messages', () => {
  it('reach a client id, a user and a connection, and name the client id of the sender', async () => {
    const name = randomUUID();
    const sender = await webSocket(one, 'ann', claims, '/ws/sender');
    const user = await socketIo(one, name, claims);
    const auth = { token: tokenOf('bob', claims), clientId: name };
    const client = untilTestEnds(await SocketClient.connect(two.url, { auth }));
    const foreign = await webSocket(one, 'bob', { tenant: 'elsewhere' }, `/ws/${name}`);
    const connectionId = String((await client.next('connected'))['connectionId']);

    await sender.request('private', { to: name, message: 1 });
    for (const each of [user, client]) {
      expect(await each.next('message')).toMatchObject({
        message: 1,
        from: { userId: 'ann', clientId: 'sender' },
      });
    }
    await sender.request('private', { to: { userId: name }, message: 2 });
    await sender.request('private', { to: { clientId: name }, message: 3 });
    await sender.request('private', { to: { connectionId }, message: 4 });
    await sender.request('private', { to: connectionId, message: 5 });
    await sender.request('private', { to: name, message: 6 });
    const received = async (each: SocketClient, count: number) => {
      const messages: unknown[] = [];
      while (messages.length < count) messages.push((await each.next('message'))['message']);
      return messages;
    };
    expect(await received(user, 2)).toEqual([2, 6]);
    expect(await received(client, 4)).toEqual([3, 4, 5, 6]);
    await foreign.request('private', { to: 'bob', message: 'last' });
    expect(await foreign.next('message')).toMatchObject({ message: 'last' });
    expect(await sender.request('private', { to: { user: name }, message: 7 })).toMatchObject({
      error: { code: 'invalid_input', message: expect.stringMatching(/^to/) as unknown },
    });
  });

  it('and presence show it', async () => {
    const watcher = await webSocket(two, 'ann', claims);
    const member = await webSocket(one, 'bob', claims, '/ws?clientId=tab-1');
    await member.request('subscribe', { topics: ['price.AAPL'] });
    const { members } = await watcher.request('presence', { topic: 'price.AAPL' });
    expect(members).toEqual([expect.objectContaining({ userId: 'bob', clientId: 'tab-1' })]);
  });
});

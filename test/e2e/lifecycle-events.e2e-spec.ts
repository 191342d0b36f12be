import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { describe, expect, it, type TestContext } from 'vitest';
import { newId } from '../../src/shared/ids.js';
import type { ApiClient } from '../support/api-client.js';
import { type EventBody, everyPage } from '../support/bodies.js';
import { eventually } from '../support/eventually.js';
import { EventStreamReader } from '../support/event-stream-reader.js';
import { ProductProcess } from '../support/product-process.js';
import { SocketClient } from '../support/socket-client.js';
import { startRedisServer } from '../support/stores.js';
import { adminToken, tokenFor } from '../support/tokens.js';
import { WebSocketClient } from '../support/websocket-client.js';
import { environment, World } from '../support/world.js';

/** Longer than a lease and the renewals after it. */
const BEYOND_A_LEASE_MS = 40_000;

/** Longer than Engine.IO by itself waits for the end of an upgrade (10 s). */
const BEYOND_AN_UPGRADE_MS = 11_000;

async function worldOf({ onTestFinished }: Pick<TestContext, 'onTestFinished'>): Promise<World> {
  const world = await World.create();
  onTestFinished(() => world.stop());
  return world;
}

type EventOfLog = EventBody & { subject?: string; data: Record<string, unknown> };

const allEvents = (api: ApiClient, filter = ''): Promise<EventOfLog[]> =>
  everyPage((query) => api.get(`/events?${filter}${query}`));

/** All events of this type that the token may receive, the oldest first. */
const eventsOf = async (api: ApiClient, type: string): Promise<EventOfLog[]> =>
  (await allEvents(api, `type=${type}&`)).toReversed();

const socketIo = ({ baseUrl }: { baseUrl: string }, owner: string, options = {}) =>
  SocketClient.connect(baseUrl, { auth: { token: tokenFor(owner) }, ...options });

const idOf = async (client: { next(name: string): Promise<Record<string, unknown>> }) =>
  String((await client.next('connected'))['connectionId']);

describe('connections', () => {
  it('are published when they open and when they end, over every transport', async (context) => {
    const world = await worldOf(context);
    const app = await world.start();
    const ann = app.api.as(tokenFor('ann'));
    const bob = app.api.as(tokenFor('bob'));
    const headers = { authorization: `Bearer ${tokenFor('ann')}` };
    const clients = {
      'socket.io': await socketIo(app, 'ann'),
      websocket: await WebSocketClient.connect(app.baseUrl, '/ws/tab-1', { headers }),
      'event-stream': await EventStreamReader.open(
        `${app.baseUrl}/api/v1/events/stream?types=none`,
        headers,
      ),
    };
    const ids = {
      'socket.io': await idOf(clients['socket.io']),
      websocket: await idOf(clients.websocket),
      'event-stream': String(
        (await clients['event-stream'].next('connected')).data['connectionId'],
      ),
    };
    const stranger = await socketIo(app, 'bob');
    const clientIdOf = (transport: string) => (transport === 'websocket' ? 'tab-1' : null);
    const data = Object.entries(ids).map(([transport, connectionId]) =>
      expect.objectContaining({
        connectionId,
        transport,
        userId: 'ann',
        clientId: clientIdOf(transport),
      }),
    );
    await eventually(async () => {
      const events = await eventsOf(ann, 'client-connected');
      expect(events.map((event) => event.data)).toEqual(data);
      expect(events.map(({ subject }) => subject)).toEqual(Object.values(ids));
    });
    for (const client of Object.values(clients)) client.close();
    await eventually(async () => {
      const events = await eventsOf(ann, 'client-disconnected');
      expect(events).toHaveLength(3);
      for (const [transport, connectionId] of Object.entries(ids)) {
        const event = events.find(({ subject }) => subject === connectionId);
        expect(event?.data).toEqual({
          connectionId,
          userId: 'ann',
          clientId: clientIdOf(transport),
          transport,
          reason: 'client_left',
          durationMs: expect.any(Number) as unknown,
          clientNumber: expect.any(Number) as unknown,
          totalConnections: 3,
          remainingConnections: expect.any(Number) as unknown,
        });
      }
    });
    expect(await eventsOf(bob, 'client-connected')).toMatchObject([
      { data: { userId: 'bob', connectionId: await idOf(stranger) } },
    ]);
    stranger.close();
  });

  it('reach webhooks and connections, and cause no further events', async (context) => {
    const world = await worldOf(context);
    const app = await world.start();
    const receiver = await world.receiver();
    const ann = app.api.as(tokenFor('ann'));
    await ann.webhook(receiver.url(), ['client-connected']);
    const listener = await socketIo(app, 'ann');
    await listener.subscribe('client-connected', 'client-disconnected');
    const other = await socketIo(app, 'ann');
    const otherId = await idOf(other);
    other.close();
    const received = async (type: string) => {
      for (;;) {
        const event = await listener.next('event');
        if (event['type'] === type && event['subject'] === otherId) return event;
      }
    };
    expect(await received('client-connected')).toMatchObject({ data: { transport: 'socket.io' } });
    expect(await received('client-disconnected')).toMatchObject({
      data: { reason: 'client_left' },
    });
    await receiver.expectRequests(2);
    const quiet = await allEvents(ann);
    expect(quiet.map(({ type }) => type).toSorted()).toEqual([
      'client-connected',
      'client-connected',
      'client-disconnected',
    ]);
    listener.close();
  });

  it('that the server closes have its reason', async (context) => {
    const world = await worldOf(context);
    const app = await world.start();
    const client = await SocketClient.connect(app.baseUrl, {
      auth: { token: tokenFor('ann', { expiresInS: 2 }) },
    });
    const id = await idOf(client);
    await client.next('disconnect');
    const ann = app.api.as(tokenFor('ann'));
    await eventually(async () =>
      expect(await eventsOf(ann, 'client-disconnected')).toMatchObject([
        { subject: id, data: { reason: 'token_expired' } },
      ]),
    );
  });

  it('of a server that stops have ended when the next one starts', async (context) => {
    const world = await worldOf(context);
    const first = await world.start();
    const clients = await Promise.all(Array.from({ length: 20 }, () => socketIo(first, 'ann')));
    const ids = await Promise.all(clients.map(idOf));
    await first.app.close();
    const second = await world.start();
    const ends = await eventsOf(second.api.as(tokenFor('ann')), 'client-disconnected');
    expect(new Set(ends.map(({ subject }) => subject))).toEqual(new Set(ids));
    expect(ends).toHaveLength(ids.length);
    expect(new Set(ends.map(({ data }) => data['reason']))).toEqual(new Set(['draining']));
    expect((await second.api.get('/admin/connections')).data).toEqual([]);
  });

  it('come back as a crowd, and each is published once', { timeout: 60_000 }, async (context) => {
    const world = await worldOf(context);
    const app = await world.start();
    const ann = app.api.as(tokenFor('ann'));
    for (let round = 1; round <= 2; round++) {
      const clients = await Promise.all(
        Array.from({ length: 150 }, () => socketIo(app, 'ann', { transports: ['websocket'] })),
      );
      for (const client of clients) client.close();
      await eventually(async () => {
        const [came, went] = await Promise.all([
          eventsOf(ann, 'client-connected'),
          eventsOf(ann, 'client-disconnected'),
        ]);
        for (const events of [came, went]) {
          expect(events).toHaveLength(150 * round);
          expect(new Set(events.map(({ subject }) => subject)).size).toBe(150 * round);
        }
      });
    }
  });
});

describe.concurrent('a node that is killed', { timeout: 90_000 }, () => {
  async function start(context: TestContext, world: World, env: NodeJS.ProcessEnv = {}) {
    const product = await ProductProcess.start(
      environment(world.database, { LOG_LEVEL: 'log', ...env }),
    );
    context.onTestFinished(async () => void (await product.end('SIGKILL')));
    return product;
  }

  async function expectLost(product: ProductProcess, ids: string[]): Promise<void> {
    const ann = product.api.as(tokenFor('ann'));
    await eventually(async () => {
      const ends = await eventsOf(ann, 'client-disconnected');
      const lost = ends.filter(({ data }) => data['reason'] === 'server_lost');
      expect(new Set(lost.map(({ subject }) => subject))).toEqual(new Set(ids));
      expect(lost).toHaveLength(ids.length);
      for (const { data } of lost) expect(data['durationMs']).toBeGreaterThanOrEqual(0);
      const begins = (await eventsOf(ann, 'client-connected')).map(({ subject }) => subject!);
      expect(begins.filter((id) => ids.includes(id)).toSorted()).toEqual(ids.toSorted());
    }, BEYOND_A_LEASE_MS);
  }

  it('after it registered a connection, but before it published it, has both published', async (context) => {
    const world = await worldOf(context);
    const [announced, unannounced] = [newId('con'), newId('con')];
    const client = new pg.Client({ connectionString: world.database.url });
    await client.connect();
    await client.query(`INSERT INTO nodes (id, roles, until, is_lost) VALUES
      ('dead', '{realtime}', now() - interval '1 minute', false)`);
    await client.query(
      `INSERT INTO realtime_connections
         (id, node_id, owner_id, user_id, transport, connected_at, is_announced)
       SELECT id, 'dead', 'ann', 'ann', 'websocket', now() - interval '71 seconds', is_announced
         FROM (VALUES ($1, true), ($2, false)) AS row(id, is_announced)`,
      [announced, unannounced],
    );
    await client.end();
    const { api } = await world.start();
    const ann = api.as(tokenFor('ann'));
    await eventually(async () => {
      const ends = await eventsOf(ann, 'client-disconnected');
      expect(ends).toMatchObject([{ subject: announced, data: { reason: 'server_lost' } }]);
    }, BEYOND_A_LEASE_MS);
    const begins = await eventsOf(ann, 'client-connected');
    expect(begins).toMatchObject([{ subject: announced, data: { connectionId: announced } }]);
  });

  it('has the ends of its connections published by another node', async (context) => {
    const world = await worldOf(context);
    const redis = await startRedisServer();
    context.onTestFinished(() => redis.stop());
    const env = { REDIS_URL: redis.url };
    const [kept, killed] = [await start(context, world, env), await start(context, world, env)];
    const stays = await socketIo(kept, 'ann');
    const clients = await Promise.all(Array.from({ length: 5 }, () => socketIo(killed, 'ann')));
    const ids = await Promise.all(clients.map(idOf));
    await eventually(async () =>
      expect((await kept.api.get('/admin/connections')).data).toHaveLength(6),
    );
    await killed.end('SIGKILL');
    await expectLost(kept, ids);
    const { data } = await kept.api.get('/admin/connections');
    expect(data.map(({ id }) => id)).toEqual([await idOf(stays)]);
    expect(await stays.request('ping', {})).toEqual({ ok: true });
    const ann = kept.api.as(tokenFor('ann'));
    const ends = (await eventsOf(ann, 'client-disconnected')).map((event) => event.data);
    expect(ends.map((each) => each['remainingConnections'])).toEqual([5, 4, 3, 2, 1]);
    expect(new Set(ends.map((each) => each['clientNumber']))).toEqual(new Set([2, 3, 4, 5, 6]));
    const next = await socketIo(kept, 'ann');
    await eventually(async () =>
      expect((await eventsOf(ann, 'client-connected')).at(-1)?.data).toMatchObject({
        clientNumber: 7,
        totalConnections: 7,
        activeConnections: 2,
      }),
    );
    next.close();
    stays.close();
  });

  it('publishes them itself when it starts again, without Redis', async (context) => {
    const world = await worldOf(context);
    const first = await start(context, world);
    const client = await socketIo(first, 'ann');
    const id = await idOf(client);
    await eventually(async () =>
      expect((await first.api.get('/admin/connections')).data).toHaveLength(1),
    );
    await first.end('SIGKILL');
    const second = await start(context, world);
    await expectLost(second, [id]);
  });

  it('and is only stopped for a while, registers its connections again', async (context) => {
    const world = await worldOf(context);
    const redis = await startRedisServer();
    context.onTestFinished(() => redis.stop());
    const env = { REDIS_URL: redis.url };
    const [kept, paused] = [await start(context, world, env), await start(context, world, env)];
    const client = await socketIo(paused, 'ann');
    const id = await idOf(client);
    await eventually(async () =>
      expect((await kept.api.get('/admin/connections')).data).toHaveLength(1),
    );
    paused.kill('SIGSTOP');
    await expectLost(kept, [id]);
    paused.kill('SIGCONT');
    await eventually(async () => {
      const { data } = await kept.api.get('/admin/connections');
      expect(data.map((each) => each.id)).toEqual([id]);
    }, BEYOND_A_LEASE_MS);
    expect(await client.request('ping', {})).toEqual({ ok: true });
    const ann = kept.api.as(tokenFor('ann'));
    await eventually(async () => {
      const counts = { clientNumber: 1, totalConnections: 1, activeConnections: 1 };
      expect(await eventsOf(ann, 'client-connected')).toMatchObject([
        { data: counts },
        { data: counts },
      ]);
    });
    client.close();
    await eventually(async () => {
      expect((await kept.api.get('/admin/connections')).data).toEqual([]);
    });
  });
});

describe('a node that is stopped while a client changes its transport', () => {
  /** One that may change from polling to a WebSocket now, and has not yet. */
  async function upgrading(product: ProductProcess): Promise<SocketClient> {
    for (;;) {
      const client = await socketIo(product, 'ann');
      const { engine } = client.socket.io;
      const isInTime = await new Promise<boolean>((resolve) => {
        engine.once('upgrading', () => resolve(true));
        engine.once('upgrade', () => resolve(false));
        if (engine.transport.name === 'websocket') resolve(false);
      });
      if (isInTime) return client;
      client.close();
    }
  }

  it('still has that client when it continues', { timeout: 90_000 }, async (context) => {
    const world = await worldOf(context);
    const product = await ProductProcess.start(environment(world.database, { LOG_LEVEL: 'log' }));
    context.onTestFinished(async () => void (await product.end('SIGKILL')));
    const client = await upgrading(product);
    product.kill('SIGSTOP');
    await delay(BEYOND_AN_UPGRADE_MS);
    product.kill('SIGCONT');
    expect(await client.request('ping', {})).toEqual({ ok: true });
    await client.next('pong');
    await eventually(() => expect(client.socket.io.engine.transport.name).toBe('websocket'));
    client.close();
  });
});

describe('the system publishes', () => {
  it('broadcasts, for those that could receive them', async (context) => {
    const world = await worldOf(context);
    const app = await world.start();
    const [ann, bob] = [app.api.as(tokenFor('ann')), app.api.as(tokenFor('bob'))];
    const client = await socketIo(app, 'ann');
    const connectionId = await idOf(client);
    await client.request('broadcast', { message: { text: 'hi' } });
    await client.request('broadcast', { message: '☃𝄞"'.repeat(3_000) });
    await client.request('private', { to: 'ann', message: 'secret' });
    await client.request('chat', { message: 'chat' });
    await app.api.post('/admin/broadcast', { message: 'to all' }, 200);
    await eventually(async () => {
      const events = await eventsOf(ann, 'message-broadcast');
      expect(events).toHaveLength(4);
      expect(events[0]?.data).toEqual({
        kind: 'broadcast',
        from: { userId: 'ann', connectionId },
        to: { who: 'owner', ownerId: 'ann' },
        sentAt: expect.any(String) as unknown,
        length: 13,
        message: { text: 'hi' },
        totalConnections: 1,
        activeConnections: 1,
        totalMessages: 1,
      });
      expect(events[1]?.data).toMatchObject({ length: 9_000 });
      expect(events[1]?.data).not.toHaveProperty('message');
      expect(events[2]?.data).toMatchObject({ kind: 'chat', message: 'chat', totalMessages: 4 });
      expect(events[3]?.data).toMatchObject({ from: { userId: 'root', connectionId: null } });
      // The counts of an owner are not for others.
      expect(events[3]?.data).not.toHaveProperty('totalMessages');
    });
    expect(await eventsOf(bob, 'message-broadcast')).toMatchObject([
      { data: { message: 'to all', to: { who: 'everybody' } } },
    ]);
    client.close();
  });

  it('only some of a flood of broadcasts', async (context) => {
    const world = await worldOf(context);
    const app = await world.start({ REALTIME_MESSAGES_PER_SECOND: '10000' });
    const client = await socketIo(app, 'ann');
    await Promise.all(
      Array.from({ length: 1_000 }, (_, message) => client.request('broadcast', { message })),
    );
    const other = await socketIo(app, 'bob');
    await other.request('broadcast', { message: 'last' });
    await eventually(async () => {
      const events = await eventsOf(app.api, 'message-broadcast');
      expect(events.at(-1)?.data).toMatchObject({ message: 'last' });
      expect(events.length).toBeGreaterThan(100);
      expect(events.length).toBeLessThan(400);
    });
    client.close();
    other.close();
  });

  it('that a node starts and stops, and its counters, for the operator', async (context) => {
    const world = await worldOf(context);
    const first = await world.start({ REALTIME_STATS_INTERVAL_MS: '100', ROLES: 'api,realtime' });
    const client = await socketIo(first, 'ann');
    await client.subscribe('a', 'b');
    await eventually(async () => {
      const stats = await eventsOf(first.api, 'broadcast-stats');
      expect(stats.at(-1)?.data).toMatchObject({
        intervalMs: 100,
        connections: 1,
        subscriptions: 2,
        messagesIn: 1,
        slowConsumersEvicted: 0,
        recovered: 0,
        notRecovered: 0,
        totalConnections: 1,
        activeConnections: 1,
        totalMessages: 0,
      });
    });
    const ann = first.api.as(tokenFor('ann'));
    expect(await eventsOf(ann, 'broadcast-stats')).toEqual([]);
    client.close();
    await first.app.close();
    const second = await world.start({ REALTIME_STATS_INTERVAL_MS: '0' });
    const statuses = await eventsOf(second.api, 'server-status');
    expect(statuses.map(({ data }) => data)).toMatchObject([
      {
        status: 'started',
        roles: ['api', 'realtime'],
        checks: { database: 'up' },
        totalConnections: 0,
      },
      { status: 'stopping', totalConnections: 1 },
      { status: 'started', roles: ['api', 'worker', 'realtime'], activeConnections: 0 },
    ]);
    expect(await eventsOf(second.api.as(tokenFor('ann')), 'server-status')).toEqual([]);
  });

  it(
    'that Redis is away and that it is back, for the operator',
    { timeout: 60_000 },
    async (context) => {
      const world = await worldOf(context);
      let redis = await startRedisServer();
      context.onTestFinished(() => redis.stop());
      const app = await world.start({ REDIS_URL: redis.url, ROLES: 'api,realtime' });
      const statuses = async () =>
        (await eventsOf(app.api, 'server-status')).map(({ data }) => data['status']);
      await redis.kill();
      await eventually(
        async () => expect(await statuses()).toEqual(['started', 'degraded']),
        30_000,
      );
      redis = await startRedisServer({ port: redis.port });
      await eventually(
        async () => expect(await statuses()).toEqual(['started', 'degraded', 'healthy']),
        30_000,
      );
      const last = (await eventsOf(app.api.as(adminToken()), 'server-status')).at(-1);
      expect(last?.data).toMatchObject({ checks: { database: 'up', redis: 'up' } });
    },
  );
});

import { beforeAll, describe, expect, it } from 'vitest';
import { newId } from '../../src/shared/ids.js';
import { type EventBody, everyPage } from '../support/bodies.js';
import { eventually } from '../support/eventually.js';
import { untilTestEnds } from '../support/short-lived.js';
import { SocketClient } from '../support/socket-client.js';
import { startRedisServer } from '../support/stores.js';
import { tokenFor } from '../support/tokens.js';
import { WebSocketClient } from '../support/websocket-client.js';
import { type RunningApp, World } from '../support/world.js';

let nodes: [RunningApp, RunningApp];

beforeAll(async () => {
  const redis = await startRedisServer();
  const world = await World.create();
  const env = { REDIS_URL: redis.url, REALTIME_STATS_INTERVAL_MS: '200' };
  nodes = [await world.start(env), await world.start(env)];
  return async () => {
    await world.stop();
    await redis.stop();
  };
});

type Data = Record<string, unknown>;

/** The data of all events of this type that the tenant has, the oldest first. */
async function dataOf(tenant: string, type: string): Promise<Data[]> {
  const api = nodes[0].api.as(tokenFor('reader', { tenant }));
  const events = await everyPage<EventBody & { data: Data }>((query) =>
    api.get(`/events?type=${type}&${query}`),
  );
  return events.map(({ data }) => data).toReversed();
}

const connect = async ({ baseUrl }: RunningApp, tenant: string, user = 'ann') => {
  const headers = { authorization: `Bearer ${tokenFor(user, { tenant })}` };
  return untilTestEnds(await WebSocketClient.connect(baseUrl, '/ws', { headers }));
};

/** Waits until as many events of this type are in the log. */
async function eventsOf(tenant: string, type: string, count: number): Promise<Data[]> {
  await eventually(async () => expect(await dataOf(tenant, type)).toHaveLength(count));
  return dataOf(tenant, type);
}

describe('the counts of a tenant, over two nodes', () => {
  it('are in the events of its connections, and know no other tenant', async () => {
    const [tenant, other] = [newId('key'), newId('key')];
    const clients: WebSocketClient[] = [];
    for (let n = 0; n < 3; n++) {
      clients.push(await connect(nodes[n % 2]!, tenant, `user-${n}`));
      await eventsOf(tenant, 'client-connected', n + 1);
      await connect(nodes[n % 2]!, other);
      await eventsOf(other, 'client-connected', n + 1);
    }
    for (const each of [tenant, other]) {
      expect(await dataOf(each, 'client-connected')).toMatchObject(
        [1, 2, 3].map((n) => ({ clientNumber: n, totalConnections: n, activeConnections: n })),
      );
    }
    clients[1]!.close();
    await eventsOf(tenant, 'client-disconnected', 1);
    clients[0]!.close();
    expect(await eventsOf(tenant, 'client-disconnected', 2)).toMatchObject([
      { clientNumber: 2, totalConnections: 3, remainingConnections: 2 },
      { clientNumber: 1, totalConnections: 3, remainingConnections: 1 },
    ]);
  });

  it('are right after a crowd that comes and goes in both', { timeout: 60_000 }, async () => {
    const tenant = newId('key');
    const crowd = await Promise.all(
      Array.from({ length: 200 }, async (_, n) => {
        const client = await connect(nodes[n % 2]!, tenant);
        if (n % 4 > 0) client.close();
        return client;
      }),
    );
    const opened = await eventsOf(tenant, 'client-connected', 200);
    await eventsOf(tenant, 'client-disconnected', 150);
    const numbers = opened.map((data) => Number(data['clientNumber']));
    expect(numbers.toSorted((a, b) => a - b)).toEqual(Array.from(crowd, (_, n) => n + 1));
    const last = await connect(nodes[1], tenant);
    const [data] = (await eventsOf(tenant, 'client-connected', 201)).slice(-1);
    expect(data).toMatchObject({ clientNumber: 201, activeConnections: 51 });
    last.close();
    const ends = await eventsOf(tenant, 'client-disconnected', 151);
    expect(ends.at(-1)).toMatchObject({ clientNumber: 201, remainingConnections: 50 });
  });

  it('include its messages of every kind', async () => {
    const tenant = newId('key');
    const [ann, bob] = [await connect(nodes[0], tenant), await connect(nodes[1], tenant, 'bob')];
    await eventsOf(tenant, 'client-connected', 2);
    await ann.request('broadcast', { message: 1 });
    await ann.request('private', { to: 'bob', message: 2 });
    await ann.request('chat', { message: 3, room: 'lobby' });
    ann.send('4');
    ann.send({ message: 4 });
    const first = await eventsOf(tenant, 'message-broadcast', 3);
    expect(first.map(({ kind, room, totalMessages }) => [kind, room, totalMessages])).toEqual([
      ['broadcast', undefined, 1],
      ['chat', 'lobby', 3],
      ['chat', undefined, 4],
    ]);
    bob.send('a text');
    const [last] = (await eventsOf(tenant, 'message-broadcast', 4)).slice(-1);
    expect(last).toMatchObject({
      kind: 'text',
      totalMessages: 5,
      totalConnections: 2,
      activeConnections: 2,
    });
  });

  it('add up for the operator', async () => {
    const tenant = newId('key');
    const client = untilTestEnds(
      await SocketClient.connect(nodes[0].baseUrl, {
        auth: { token: tokenFor('ann', { tenant }) },
      }),
    );
    await client.request('chat', { message: 1 });
    await eventually(async () => {
      const { data } = await nodes[0].api.get('/events?type=broadcast-stats&limit=1');
      const stats = data[0]!['data'] as unknown as Record<string, number>;
      expect(stats['totalMessages']).toBeGreaterThan(0);
      expect(stats['activeConnections']).toBeGreaterThan(0);
      expect(stats['totalConnections']).toBeGreaterThanOrEqual(stats['activeConnections']!);
    });
    expect(await dataOf(tenant, 'broadcast-stats')).toEqual([]);
  });
});

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newId } from '../../src/shared/ids.js';
import type { Json } from '../support/api-client.js';
import { everyPage, expectProblem } from '../support/bodies.js';
import { eventually } from '../support/eventually.js';
import { EventStreamReader } from '../support/event-stream-reader.js';
import { SocketClient } from '../support/socket-client.js';
import { type RedisServer, startRedisServer } from '../support/stores.js';
import { tokenFor } from '../support/tokens.js';
import { WebSocketClient } from '../support/websocket-client.js';
import { type RunningApp, World } from '../support/world.js';

let world: World;
let redis: RedisServer;
/** Serves the API and has no connections. */
let office: RunningApp;
/** Have connections and serve no API. */
let halls: RunningApp[];

beforeAll(async () => {
  world = await World.create();
  redis = await startRedisServer();
  const env = { REDIS_URL: redis.url };
  office = await world.start({ ...env, ROLES: 'api' });
  halls = [
    await world.start({ ...env, ROLES: 'realtime' }),
    await world.start({ ...env, ROLES: 'realtime' }),
  ];
});

afterAll(async () => {
  await world.stop();
  await redis.stop();
});

interface Client {
  next(name: string): Promise<Record<string, unknown>>;
  close(): void;
}

const header = (owner: string) => ({ authorization: `Bearer ${tokenFor(owner)}` });

const connectors = {
  'socket.io': ({ baseUrl }: RunningApp, owner: string): Promise<Client> =>
    SocketClient.connect(baseUrl, { auth: { token: tokenFor(owner) } }),
  websocket: ({ baseUrl }: RunningApp, owner: string): Promise<Client> =>
    WebSocketClient.connect(baseUrl, '/ws', { headers: header(owner) }),
  'event-stream': async ({ baseUrl }: RunningApp, owner: string): Promise<Client> => {
    const reader = await EventStreamReader.open(
      `${baseUrl}/api/v1/events/stream?types=price`,
      header(owner),
    );
    return {
      next: async (name) => (await reader.next(name)).data,
      close: () => reader.close(),
    };
  },
};
const TRANSPORTS = Object.keys(connectors) as (keyof typeof connectors)[];

const idOf = async (client: Client) => String((await client.next('connected'))['connectionId']);

const listed = (filter = ''): Promise<Json[]> =>
  everyPage<Json>((query) => office.api.get(`/admin/connections?${filter}${query}`), 2);

/** One of each transport in each process. */
async function crowd(owner: string): Promise<{ client: Client; id: string; transport: string }[]> {
  return Promise.all(
    halls.flatMap((hall) =>
      TRANSPORTS.map(async (transport) => {
        const client = await connectors[transport](hall, owner);
        return { client, id: await idOf(client), transport };
      }),
    ),
  );
}

describe('GET /admin/connections', () => {
  it('lists those of all processes, the newest first, by owner and transport', async () => {
    const [ann, bob] = [newId('key'), newId('key')];
    const anns = await crowd(ann);
    const bobs = await crowd(bob);
    const idsOf = (connections: { id: string }[]) => connections.map(({ id }) => id);
    await eventually(async () => {
      expect(idsOf(await listed()).toSorted()).toEqual(idsOf([...anns, ...bobs]).toSorted());
    });
    const all = await listed(`ownerId=${ann}&`);
    expect(idsOf(all)).toEqual(idsOf(anns).toSorted().toReversed());
    for (const { id, transport } of anns) {
      expect(all.find((each) => each.id === id)).toEqual({
        id,
        ownerId: ann,
        userId: ann,
        clientId: null,
        address: '127.0.0.1',
        transport,
        connectedAt: expect.stringMatching(/Z$/) as unknown,
      });
    }
    for (const transport of TRANSPORTS) {
      const some = await listed(`ownerId=${bob}&transport=${transport}&`);
      expect(idsOf(some).toSorted()).toEqual(
        idsOf(bobs.filter((each) => each.transport === transport)).toSorted(),
      );
    }
    for (const { client } of [...anns, ...bobs]) client.close();
    await eventually(async () => expect(await listed()).toEqual([]));
  });

  it('is for admins, and names what it does not understand', async () => {
    expectProblem(await office.api.as(tokenFor('ann')).request('GET', '/admin/connections'), 403);
    expectProblem(await office.api.as(undefined).request('GET', '/admin/connections'), 401);
    for (const [query, field] of [
      ['transport=carrier-pigeon', 'transport'],
      ['ownerId=', 'ownerId'],
      ['limit=0', 'limit'],
      ['cursor=x', 'cursor'],
      ['nope=1', 'nope'],
    ] as const) {
      const answer = await office.api.request('GET', `/admin/connections?${query}`);
      expectProblem(answer, 422, field);
    }
  });
});

describe('DELETE /admin/connections/{id}', () => {
  it('ends a connection on any node, and says to the client not to come back', async () => {
    const connections = await crowd('ann');
    const bystander = await connectors['socket.io'](halls[0]!, 'ann');
    for (const { client, id } of connections) {
      await office.api.delete(`/admin/connections/${id}`);
      expect(await client.next('error')).toMatchObject({
        code: 'closed_by_operator',
        reconnect: false,
      });
      await eventually(async () => {
        expectProblem(await office.api.request('DELETE', `/admin/connections/${id}`), 404);
      });
    }
    const kept = await idOf(bystander);
    await eventually(async () => expect((await listed()).map(({ id }) => id)).toEqual([kept]));
    bystander.close();
  });

  it('does not know connections that there are not', async () => {
    for (const id of [newId('con'), newId('evt'), 'x', '%00']) {
      expectProblem(await office.api.request('DELETE', `/admin/connections/${id}`), 404);
    }
    const path = `/admin/connections/${newId('con')}`;
    expectProblem(await office.api.as(tokenFor('ann')).request('DELETE', path), 403);
  });
});

describe('POST /admin/broadcast', () => {
  it('reaches all, an owner, a topic, or one connection, in every process', async () => {
    const anns = await crowd('ann');
    const bobs = await crowd('bob');
    const price = [...anns, ...bobs].filter(({ transport }) => transport === 'event-stream');
    const [one] = bobs;
    const cases: [object, { client: Client }[]][] = [
      [{}, [...anns, ...bobs]],
      [{ ownerId: 'ann' }, anns],
      [{ topic: { type: 'price' } }, price],
      [{ topic: { type: 'price' }, ownerId: 'bob' }, price.filter((each) => bobs.includes(each))],
      [{ connectionId: one!.id }, [one!]],
      [{ connectionId: newId('con') }, []],
      [{ ownerId: 'unknown' }, []],
    ];
    for (const [index, [to, reached]] of cases.entries()) {
      const answer = await office.api.post('/admin/broadcast', { ...to, message: index }, 200);
      expect(answer, JSON.stringify(to)).toEqual({ delivered: reached.length, complete: true });
      for (const { client } of reached) {
        expect(await client.next('message')).toMatchObject({
          kind: 'connectionId' in to ? 'private' : 'broadcast',
          from: { userId: 'root' },
          message: index,
        });
      }
    }
    await office.api.post('/admin/broadcast', { message: 'last' }, 200);
    for (const { client } of [...anns, ...bobs]) {
      expect(await client.next('message')).toMatchObject({ message: 'last' });
      client.close();
    }
  });

  it('is for admins, and names what it does not understand', async () => {
    const message = 1;
    const ann = office.api.as(tokenFor('ann'));
    expectProblem(await ann.request('POST', '/admin/broadcast', { message }), 403);
    const cases: [unknown, number, string][] = [
      [{}, 422, 'message'],
      [{ message: 'a\u0000' }, 422, 'message'],
      [{ message, ownerId: '' }, 422, 'ownerId'],
      [{ message, topic: 'no..good' }, 422, 'topic'],
      [{ message, topic: { type: 'no..good' } }, 422, 'topic.type'],
      [{ message, connectionId: 'x' }, 422, 'connectionId'],
      [{ message, connectionId: newId('con'), ownerId: 'ann' }, 422, 'connectionId'],
      [{ message, nope: 1 }, 422, 'nope'],
      [{ message: 'x'.repeat(64 * 1024) }, 413, 'message'],
    ];
    for (const [body, status, field] of cases) {
      expectProblem(await office.api.request('POST', '/admin/broadcast', body), status, field);
    }
  });
});

describe('a process that does not answer', () => {
  it('is not waited for beyond a moment, and is not forgotten', async () => {
    const quiet = await startRedisServer();
    const env = { REDIS_URL: quiet.url };
    const [api, hall] = [
      await world.start({ ...env, ROLES: 'api' }),
      await world.start({ ...env, ROLES: 'realtime' }),
    ];
    const client = await connectors.websocket(hall, 'ann');
    const id = await idOf(client);
    await eventually(async () =>
      expect((await api.api.get('/admin/connections?ownerId=ann')).data).toHaveLength(1),
    );
    quiet.pause();
    expectProblem(await api.api.request('DELETE', `/admin/connections/${id}`), 503);
    expect(await api.api.post('/admin/broadcast', { message: 1 }, 200)).toMatchObject({
      complete: false,
    });
    quiet.resume();
    // Which was only late.
    expect(await client.next('error')).toMatchObject({ code: 'closed_by_operator' });
    await quiet.stop();
  });
});

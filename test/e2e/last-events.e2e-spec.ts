import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { EventStreamReader } from '../support/event-stream-reader.js';
import { SocketClient } from '../support/socket-client.js';
import { type RedisServer, startRedisServer } from '../support/stores.js';
import { tokenFor } from '../support/tokens.js';
import { WebSocketClient } from '../support/websocket-client.js';
import { whilePublishing } from '../support/while-publishing.js';
import { type RunningApp, World } from '../support/world.js';

const TYPE = 'price.changed';

let world: World;
let redis: RedisServer;
let node: RunningApp;
let other: RunningApp;
const clients: { close(): void }[] = [];

beforeAll(async () => {
  [world, redis] = await Promise.all([World.create(), startRedisServer()]);
  node = await world.start({ REDIS_URL: redis.url });
  other = await world.start({ REDIS_URL: redis.url });
});
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});
afterAll(async () => {
  await world?.stop();
  await redis?.stop();
});

function opened<T extends { close(): void }>(client: T): T {
  clients.push(client);
  return client;
}

const bearer = (owner: string) => ({ authorization: `Bearer ${tokenFor(owner)}` });

const connect = async (owner: string, at = node): Promise<SocketClient> =>
  opened(await SocketClient.connect(at.baseUrl, { auth: { token: tokenFor(owner) } }));

const publish = async (ownerId: string | undefined, more: object = {}): Promise<string> =>
  (await node.api.post('/events', { type: TYPE, data: {}, ownerId, ...more }, 202)).id;

describe('a client that subscribes with `last`', () => {
  it('is sent the newest events of each topic first, the oldest of them first, then live ones', async () => {
    const owner = randomUUID();
    const subject = randomUUID();
    await publish(owner, { subject });
    await publish(owner, { type: 'other.thing' });
    const value = await publish(owner, { subject });
    const second = await publish(owner, { type: 'other.thing' });
    const third = await publish(owner, { type: 'other.more' });
    await publish(owner, { subject: 'another' });
    const client = await connect(owner, other);
    const topics = [
      { type: TYPE, subject, last: 1 },
      { type: 'other.*', last: 2 },
    ];
    expect(await client.request('subscribe', { topics })).toMatchObject({
      ok: true,
      topics: [{ type: TYPE, subject }, 'other.*'],
      replayed: 3,
      truncated: false,
    });
    const news = await publish(owner, { subject });
    expect(await client.eventsUntil(news)).toEqual([value, second, third, news]);
  });

  it('gets public events and its own, and none of another owner', async () => {
    const [owner, stranger, subject] = [randomUUID(), randomUUID(), randomUUID()];
    const open = await publish(undefined, { subject });
    const own = await publish(owner, { subject });
    await publish(stranger, { subject });
    const client = await connect(owner);
    const topics = [{ type: TYPE, subject }];
    expect(await client.request('subscribe', { topics, last: 100 })).toMatchObject({ replayed: 2 });
    expect(await client.eventsUntil(own)).toEqual([open, own]);
  });

  it('misses nothing and receives nothing twice or out of order while events are published', async () => {
    const owner = randomUUID();
    const join = () =>
      Promise.all(
        [node, other, node, other].map(async (at) => {
          const client = await connect(owner, at);
          const request = { topics: [TYPE], last: 3 };
          expect(await client.request('subscribe', request)).toMatchObject({
            ok: true,
            replayed: 3,
          });
          return client;
        }),
      );
    const { published, result: joined } = await whilePublishing(() => publish(owner), join);
    for (const client of joined) {
      const received = await client.eventsUntil(published.at(-1)!);
      expect(received).toEqual(published.slice(published.indexOf(received[0]!)));
    }
  });

  it('is sent what it missed instead if it resumes, and the newest if it cannot', async () => {
    const owner = randomUUID();
    const seen = await publish(owner);
    const ids = [await publish(owner), await publish(owner)];
    const topics = [TYPE];
    const resumed = await connect(owner);
    expect(await resumed.request('subscribe', { topics, after: seen, last: 1 })).toMatchObject({
      recovered: true,
      replayed: 2,
    });
    expect(await resumed.eventsUntil(ids[1]!)).toEqual(ids);
    const late = await connect(owner);
    const after = 'evt_00000000000000000000000000';
    expect(await late.request('subscribe', { topics, after, last: 1 })).toMatchObject({
      recovered: false,
      replayed: 1,
    });
    expect(await late.eventsUntil(ids[1]!)).toEqual([ids[1]]);
  });

  it('may do so by the address of a WebSocket and of an event stream', async () => {
    const [owner, subject] = [randomUUID(), randomUUID()];
    await publish(owner, { subject });
    const value = await publish(owner, { subject });
    const path = `/ws/${TYPE}/${subject}?last=1`;
    const socket = opened(
      await WebSocketClient.connect(node.baseUrl, path, { headers: bearer(owner) }),
    );
    expect(await socket.eventsUntil(value)).toEqual([value]);
    const url = `${node.baseUrl}/api/v1/events/stream?types=${TYPE}&subject=${subject}&last=1`;
    const stream = opened(await EventStreamReader.open(url, bearer(owner)));
    expect(await stream.eventsUntil(value)).toEqual([value]);
    const news = await publish(owner, { subject });
    expect(await stream.eventsUntil(news)).toEqual([news]);
  });

  it.each([
    [{ topics: [TYPE], last: 101 }, 'last'],
    [{ topics: [TYPE], last: '1' }, 'last'],
    [{ topics: [{ type: TYPE, last: 0 }] }, 'topics[0].last'],
    [{ topics: [{ type: TYPE, subject: 7 }] }, 'topics[0].subject'],
    [{ topics: Array.from({ length: 11 }, (_, n) => `t.n${n}`), last: 100 }, 'last'],
  ])('is refused with the field that is wrong: %j', async (request, field) => {
    const client = await connect(randomUUID());
    const { error } = await client.request('subscribe', request);
    expect(error).toMatchObject({ code: 'invalid_input' });
    expect((error as { message: string }).message).toContain(field);
  });

  it('is refused before the upgrade if the address is wrong', async () => {
    const path = `/ws/${TYPE}/x?last=0`;
    const refused = await WebSocketClient.refused(node.baseUrl, path, { headers: bearer('acme') });
    expect(refused).toMatchObject({ status: 422, body: { errors: [{ field: 'last' }] } });
  });
});

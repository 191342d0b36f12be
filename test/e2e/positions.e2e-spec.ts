import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.js';
import { EventStreamReader } from '../support/event-stream-reader.js';
import { SocketClient } from '../support/socket-client.js';
import { type RedisServer, startRedisServer } from '../support/stores.js';
import { tokenFor } from '../support/tokens.js';
import { WebSocketClient } from '../support/websocket-client.js';
import { type RunningApp, World } from '../support/world.js';

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

const publish = async (ownerId: string, at = node): Promise<string> =>
  (await at.api.post('/events', { type: 'trade.done', data: {}, ownerId }, 202)).id;

async function publishSome(owner: string, count: number): Promise<string[]> {
  const ids: string[] = [];
  while (ids.length < count) ids.push(await publish(owner, ids.length % 2 === 0 ? node : other));
  return ids;
}

/** A client that subscribes to everything of its owner. */
interface Subscribed {
  /** What the server said of the log, where a client finds it. */
  position: string;
  /** Of a client that resumes. */
  recovery: Record<string, unknown>;
  eventsUntil(id: string): Promise<string[]>;
}

type Subscribe = (at: RunningApp, owner: string, after?: string) => Promise<Subscribed>;

const topics = (after?: string) => ({ topics: ['trade.*'], ...(after !== undefined && { after }) });

async function subscribed(client: SocketClient | WebSocketClient, after?: string) {
  clients.push(client);
  const answer = await client.request('subscribe', topics(after));
  return {
    position: String(answer['position']),
    recovery: answer,
    eventsUntil: (id: string) => client.eventsUntil(id),
  };
}

const socketIo: Subscribe = async ({ baseUrl }, owner, after) => {
  const client = await SocketClient.connect(baseUrl, { auth: { token: tokenFor(owner) } });
  return subscribed(client, after);
};

const webSocket: Subscribe = async ({ baseUrl }, owner, after) => {
  const headers = { authorization: `Bearer ${tokenFor(owner)}` };
  const client = await WebSocketClient.connect(baseUrl, '/ws', { headers });
  return subscribed(client, after);
};

const eventStream: Subscribe = async ({ baseUrl }, owner, after) => {
  const reader = await EventStreamReader.open(`${baseUrl}/api/v1/events/stream?types=trade.*`, {
    authorization: `Bearer ${tokenFor(owner)}`,
    ...(after !== undefined && { 'last-event-id': after }),
  });
  clients.push(reader);
  const connected = await reader.next('connected');
  const first = after === undefined ? connected : await reader.next('resumed');
  return {
    // What an EventSource sends when it connects again.
    position: first.id ?? '',
    recovery: first.data,
    eventsUntil: (id) => reader.eventsUntil(id),
  };
};

const TRANSPORTS = Object.entries({ socketIo, webSocket, eventStream });

describe.each(TRANSPORTS)('a client that has received no event, over %s', (_name, subscribe) => {
  it('resumes at its position, and is sent exactly what came after it', async () => {
    const owner = randomUUID();
    await publishSome(owner, 3);
    const { position } = await subscribe(node, owner);
    clients.pop()!.close();
    const missed = await publishSome(owner, 4);
    for (const at of [node, other]) {
      const client = await subscribe(at, owner, position);
      expect(client.recovery).toMatchObject({ recovered: true, replayed: missed.length });
      missed.push(await publish(owner, at));
      expect(await client.eventsUntil(missed.at(-1)!)).toEqual(missed);
    }
  });

  it('gets a position again when it has missed nothing', async () => {
    const owner = randomUUID();
    let { position } = await subscribe(node, owner);
    for (const at of [other, node]) {
      clients.pop()!.close();
      const client = await subscribe(at, owner, position);
      expect(client.recovery).toMatchObject({ recovered: true, replayed: 0 });
      position = client.position;
    }
    clients.pop()!.close();
    const missed = await publish(owner);
    const client = await subscribe(other, owner, position);
    expect(await client.eventsUntil(missed)).toEqual([missed]);
  });

  it.each(['pos_0_0_0', 'pos_mk3x9q2a_zzzzzzzzzz_0', 'pos_0_a_0', `pos_${'z'.repeat(400)}_1_1`])(
    'is informed of a gap if its position is %s, and goes on',
    async (position) => {
      const owner = randomUUID();
      await publish(owner);
      const client = await subscribe(node, owner, position);
      expect(client.recovery).toMatchObject({ recovered: false, replayed: 0 });
      const news = await publish(owner);
      expect(await client.eventsUntil(news)).toEqual([news]);
    },
  );
});

describe('the position in `connected`', () => {
  it('is one after which a later subscription is sent everything', async () => {
    const owner = randomUUID();
    await publish(owner);
    const auth = { token: tokenFor(owner) };
    const client = await SocketClient.connect(other.baseUrl, { auth });
    clients.push(client);
    const { position } = await client.next('connected');
    const missed = await publishSome(owner, 2);
    const answer = await client.request('subscribe', topics(String(position)));
    expect(answer).toMatchObject({ ok: true, recovered: true, replayed: 2 });
    expect(await client.eventsUntil(missed.at(-1)!)).toEqual(missed);
  });

  it('is refused as `after` where it has another form', async () => {
    const client = await SocketClient.connect(node.baseUrl, { auth: { token: tokenFor('acme') } });
    clients.push(client);
    for (const after of ['pos_', 'pos_A', 'con_01h455vb4pex5vsknk084sn02q', '']) {
      expect(await client.request('subscribe', topics(after))).toMatchObject({
        ok: false,
        error: { code: 'invalid_input', message: expect.stringMatching(/^after: /) as unknown },
      });
    }
  });
});

describe('every position that a client has seen', () => {
  it('misses nothing, whatever is published while it subscribes', async () => {
    const owner = randomUUID();
    /** What was published after all had subscribed, and not only answered then. */
    const after: string[] = [];
    let haveAllSubscribed = false;
    const over = new AbortController();
    const publishing = [node, other].map(async (at) => {
      while (!over.signal.aborted) {
        const isAfter = haveAllSubscribed;
        const id = await publish(owner, at);
        if (isAfter) after.push(id);
      }
    });
    const begun = await Promise.all(
      TRANSPORTS.flatMap(([, subscribe]) =>
        [node, other].map(async (at) => {
          const client = await subscribe(at, owner);
          return { client, subscribe };
        }),
      ),
    );
    haveAllSubscribed = true;
    await eventually(() => expect(after.length).toBeGreaterThan(10));
    over.abort();
    await Promise.all(publishing);
    const last = await publish(owner);
    for (const { client, subscribe } of begun) {
      const live = await client.eventsUntil(last);
      const resumed = await subscribe(other, owner, client.position);
      const missed = await resumed.eventsUntil(last);
      // The log after the position is what the client was sent since.
      expect(missed.filter((id) => !live.includes(id))).toEqual([]);
      for (const id of after) expect(missed).toContain(id);
    }
  });
});

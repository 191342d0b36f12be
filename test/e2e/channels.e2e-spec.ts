import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.js';
import { EventStreamReader } from '../support/event-stream-reader.js';
import { untilTestEnds } from '../support/short-lived.js';
import { SocketClient } from '../support/socket-client.js';
import { type RedisServer, startRedisServer } from '../support/stores.js';
import { tokenFor } from '../support/tokens.js';
import { WebSocketClient } from '../support/websocket-client.js';
import { type RunningApp, World } from '../support/world.js';

type Payload = Record<string, unknown>;

let redis: RedisServer;
let world: World;
/** Two nodes; events are published on the first one. */
let node: RunningApp;
let other: RunningApp;

beforeAll(async () => {
  redis = await startRedisServer();
  world = await World.create();
  node = await world.start({ REDIS_URL: redis.url, REALTIME_GUESTS: 'guests' });
  other = await world.start({ REDIS_URL: redis.url, REALTIME_GUESTS: 'guests' });
});
afterAll(async () => {
  await world?.stop();
  await redis?.stop();
});

/** Names that no other test uses. */
const names = () => {
  const id = randomUUID().slice(0, 8);
  return { channel: `c-${id}`, one: `one_${id}.done`, two: `two_${id}`, three: `three_${id}` };
};

async function putType(name: string, settings: object, status: number): Promise<Payload> {
  const { status: given, body } = await node.api.request('PUT', `/event-types/${name}`, settings);
  expect(given).toBe(status);
  return body;
}

const addType = (name: string, channel: string | null, more: object = {}): Promise<unknown> =>
  putType(name, { channel, ...more }, 201);

const headersOf = (owner: string, claims: object = {}) => ({
  authorization: `Bearer ${tokenFor(owner, claims)}`,
});

const plain = async (
  { baseUrl }: RunningApp,
  path: string,
  headers: Record<string, string> = headersOf('acme'),
): Promise<WebSocketClient> =>
  untilTestEnds(await WebSocketClient.connect(baseUrl, path, { headers }));

const socketIo = async ({ baseUrl }: RunningApp, auth: object = {}): Promise<SocketClient> =>
  untilTestEnds(
    await SocketClient.connect(baseUrl, { auth: { token: tokenFor('acme'), ...auth } }),
  );

const stream = async ({ baseUrl }: RunningApp, query: string): Promise<EventStreamReader> => {
  const url = `${baseUrl}/api/v1/events/stream${query}`;
  return untilTestEnds(await EventStreamReader.open(url, headersOf('acme')));
};

async function publish(type: string, more: object = {}): Promise<string> {
  const { id } = await node.api
    .as(tokenFor('acme'))
    .post('/events', { type, data: {}, ...more }, 202);
  return id;
}

/** The other node has the catalogue as this one has it. */
const everywhere = (path: string, target: object): Promise<void> =>
  eventually(async () => {
    const client = await WebSocketClient.connect(other.baseUrl, path, {
      headers: headersOf('acme'),
    });
    const connected = await client.next('connected');
    client.close();
    expect(connected['target']).toEqual(target);
  });

describe('the channel of an event type', () => {
  it('is stored, replaced and shown', async () => {
    const { channel, one } = names();
    await addType(one, channel);
    expect(await node.api.get(`/event-types/${one}`)).toMatchObject({ channel });
    await putType(one, {}, 200);
    expect(await node.api.get(`/event-types/${one}`)).toMatchObject({ channel: null });
    expect(await node.api.get('/event-types/server-status')).toMatchObject({ channel: null });
  });

  it.each(['a b', 'a.*', '*', '', 'a..b', 'x'.repeat(129), 1])(
    'must not be %j',
    async (channel) => {
      const problem = await node.api.post('/event-types', { name: names().one, channel }, 422);
      expect(problem).toMatchObject({ errors: [{ field: 'channel' }] });
    },
  );

  it('is never the name of a type, nor the other way round', async () => {
    const { channel, one, two } = names();
    await addType(one, channel);
    for (const [field, name, given] of [
      ['channel', two, one],
      ['channel', two, two],
      ['channel', two, 'client-connected'],
      ['name', channel, null],
    ] as const) {
      const body = { name, channel: given };
      expect(await node.api.post('/event-types', body, 409)).toMatchObject({
        code: 'name_taken',
        errors: [{ field }],
      });
      expect(await putType(name, { channel: given }, 409)).toMatchObject({
        errors: [{ field }],
      });
    }
  });

  it('and a type of the same name that are added at once do not both exist', async () => {
    for (let round = 0; round < 5; round++) {
      const { channel, one } = names();
      const add = async (app: RunningApp, body: object): Promise<number> => {
        const response = await fetch(`${app.baseUrl}/api/v1/event-types`, {
          method: 'POST',
          headers: {
            ...headersOf('root', { roles: ['admin'] }),
            'content-type': 'application/json',
          },
          body: JSON.stringify(body),
        });
        return response.status;
      };
      const statuses = await Promise.all([
        add(node, { name: one, channel }),
        add(other, { name: channel }),
      ]);
      expect(new Set(statuses)).toEqual(new Set([201, 409]));
    }
  });
});

describe('a subscription to a channel', () => {
  it('receives all of its types, with or without a subject, over every transport', async () => {
    const { channel, one, two, three } = names();
    await addType(one, channel);
    await addType(two, channel);
    await addType(three, null);
    await everywhere(`/ws/${channel}`, { channel });
    const socket = await socketIo(other);
    await socket.subscribe({ channel });
    const aboutOne = await socketIo(node);
    expect(await aboutOne.subscribe({ channel, subject: 'AAPL' })).toMatchObject({
      topics: [{ channel, subject: 'AAPL' }],
    });
    const clients = [
      await plain(other, `/ws/${channel}`),
      socket,
      await stream(other, `?channels=${channel}`),
      await stream(node, `?channels=${channel}&types=${three}&subject=AAPL`),
      await plain(node, `/ws/${channel}/AAPL`),
      aboutOne,
    ];
    for (const client of clients.slice(0, 3)) {
      if (client instanceof WebSocketClient) await client.next('ack');
    }
    await (clients[4] as WebSocketClient).next('ack');

    const about = { subject: 'AAPL' };
    const all = [
      await publish(one),
      await publish(two, about),
      await publish(one, { subject: 'X' }),
    ];
    const last = await publish(two, about);
    for (const client of clients.slice(0, 3)) {
      expect((await client.eventsUntil(last)).toSorted()).toEqual([...all, last].toSorted());
    }
    for (const client of clients.slice(3)) {
      expect(new Set(await client.eventsUntil(last))).toEqual(new Set([all[1], last]));
    }
  });

  it('follows the catalogue, on all nodes', async () => {
    const { channel, one, two } = names();
    await addType(one, channel);
    await everywhere(`/ws/${channel}`, { channel });
    const client = await plain(other, `/ws/${channel}`);
    await client.next('ack');
    const before = await publish(two);
    const first = await publish(one);
    await addType(two, channel);
    await everywhere(`/ws/${two}`, { type: two });
    const second = await publish(two);
    await putType(one, { channel: null }, 200);
    await everywhere(`/ws/${one}`, { type: one });
    await eventually(async () => {
      await publish(one);
      expect(await node.api.get(`/event-types/${one}`)).toMatchObject({ channel: null });
    });
    const last = await publish(two);
    const received = await client.eventsUntil(last);
    expect(received).not.toContain(before);
    expect(received.slice(0, 2)).toEqual([first, second]);
  });

  it('names the channel beside the event, where that harms no client', async () => {
    const { channel, one } = names();
    await addType(one, channel);
    const web = await plain(node, `/ws/${channel}`);
    await web.next('ack');
    const all: unknown[][] = [];
    for (const auth of [{ channels: true }, {}]) {
      const socket = await socketIo(node, auth);
      socket.socket.on('event', (...args: unknown[]) => all.push(args));
      await socket.subscribe({ channel });
    }
    const id = await publish(one);
    expect(await web.next('event')).toMatchObject({ channel, event: { id } });
    await eventually(async () => expect(await Promise.resolve(all.length)).toBe(2));
    const details = all.flatMap((args) => args.slice(1));
    expect(details).toEqual([{ channel }]);
  });

  it('delivers only the types that the credential allows, and is refused if it allows none', async () => {
    const { channel, one, two, three } = names();
    await addType(one, channel);
    await addType(two, channel);
    const prefix = `${one.split('.')[0]}.*`;
    const limited = await plain(node, `/ws/${channel}`, headersOf('acme', { topics: [prefix] }));
    await limited.next('ack');
    const whole = await plain(node, `/ws/${channel}`);
    await whole.next('ack');
    await publish(two);
    const allowed = await publish(one);
    await publish(two);
    const last = await publish(one);
    expect(await limited.eventsUntil(last)).toEqual([allowed, last]);

    const refused = await WebSocketClient.refused(node.baseUrl, `/ws/${channel}`, {
      headers: headersOf('acme', { topics: [three] }),
    });
    expect(refused).toMatchObject({ status: 403, body: { code: 'forbidden' } });

    // Both are there.
    const topic = { channel };
    expect(await whole.request('presence', { topic })).toMatchObject({ ok: true, count: 2, topic });
    const stranger = await plain(node, '/ws', headersOf('acme', { topics: [three] }));
    expect(await stranger.request('presence', { topic })).toMatchObject({ ok: false });
    expect(
      await limited.request('auth:refresh', { token: tokenFor('acme', { topics: [three] }) }),
    ).toMatchObject({
      ok: true,
      topics: [],
      dropped: [topic],
    });
  });

  it('resumes from the log', async () => {
    const { channel, one, two, three } = names();
    await addType(one, channel);
    await addType(two, channel);
    await everywhere(`/ws/${two}`, { type: two });
    const start = await publish(one);
    const missed = [await publish(two), await publish(one, { subject: 'X' })];
    await publish(three);
    for (const [topics, claims, expected] of [
      [[{ channel }], {}, missed],
      [[{ channel, subject: 'X' }], {}, missed.slice(1)],
      [[{ channel }, two], {}, missed],
      [[{ channel }], { topics: [two, one] }, missed],
    ] as const) {
      const client = await plain(other, '/ws', headersOf('acme', claims));
      const answer = await client.request('subscribe', { topics, after: start });
      expect(answer).toMatchObject({ ok: true, recovered: true, replayed: expected.length });
      expect(await client.eventsUntil(expected.at(-1)!)).toEqual(expected);
    }
    const resumed = await stream(other, `?channels=${channel}&after=${start}`);
    expect(await resumed.eventsUntil(missed.at(-1)!)).toEqual(missed);
    const limited = await plain(other, '/ws', headersOf('acme', { topics: [one, three] }));
    const unseen = await limited.request('subscribe', { topics: [{ channel }], after: start });
    expect(unseen).toMatchObject({ ok: true, recovered: true, replayed: 1 });
  });

  it('of a guest, live and resumed, has public events only', async () => {
    const { channel, one } = names();
    await addType(one, channel);
    await everywhere(`/ws/${one}`, { type: one });
    const forAll = async () => {
      const { id } = await node.api.post('/events', { type: one, data: {} }, 202);
      return id;
    };
    const start = await forAll();
    const live = await plain(other, `/ws/${channel}`, {});
    await live.next('ack');
    const publisher = node.api.as(tokenFor('user', { tenant: 'guests' }));
    await publisher.post('/events', { type: one, data: {} }, 202);
    await publish(one);
    const last = await forAll();
    expect(await live.eventsUntil(last)).toEqual([last]);
    const back = await plain(node, '/ws', {});
    const answer = await back.request('subscribe', { topics: [{ channel }, '*'], after: start });
    expect(answer).toMatchObject({ ok: true, recovered: true });
    const events = await back.eventsUntil(last);
    expect(new Set(events).size).toBe(events.length);
    for (const id of events) {
      const event = (await node.api.get(`/events/${id}`)) as Payload;
      expect(event['ownerId'] ?? null).toBeNull();
    }
  });

  it.each([
    [{ channel: 'a b' }, 'topics[0].channel'],
    [{ channel: 'a', type: 'b' }, 'topics[0].type'],
    [{ subject: 'a' }, 'topics[0].type'],
    [{ channel: 'a', subject: '' }, 'topics[0].subject'],
  ])('is refused as %j', async (topic, field) => {
    const client = await plain(node, '/ws');
    const { error } = await client.request('subscribe', { topics: [topic] });
    expect(error).toMatchObject({ code: 'invalid_input' });
    expect((error as { message: string }).message.startsWith(`${field}:`)).toBe(true);
  });
});

describe('the path of a plain WebSocket', () => {
  it('says in connected what it was', async () => {
    const { channel, one, three } = names();
    await addType(one, channel);
    for (const [path, target] of [
      [`/ws/${channel}`, { channel }],
      [`/ws/${channel}/AAPL`, { channel, subject: 'AAPL' }],
      [`/ws/${one}`, { type: one }],
      [`/ws/${three}/AAPL`, { type: three, subject: 'AAPL' }],
      ['/ws/client-connected', { type: 'client-connected' }],
      [`/ws/${three}`, { clientId: three }],
      ['/ws', undefined],
    ] as const) {
      const client = await plain(node, path);
      const connected = await client.next('connected');
      expect(connected['target']).toEqual(target);
      expect(connected['clientId']).toBe(path === `/ws/${three}` ? three : undefined);
    }
  });
});

describe('the newest events of a channel', () => {
  it('are those of all its types, for a guest only the public ones', async () => {
    const { channel, one, two } = names();
    await addType(one, channel);
    await addType(two, channel);
    await eventually(() => expect(other.api.get(`/event-types/${two}`)).resolves.toBeDefined());
    const publish = async (type: string, ownerId?: string): Promise<string> =>
      (await node.api.publish({ type, ...(ownerId !== undefined && { ownerId }) })).id;
    await publish(one, 'acme');
    const ids = [await publish(two), await publish(one, 'acme')];
    await publish(one, 'guests');
    const topics = [{ channel, last: 2 }];
    const user = await socketIo(node);
    expect(await user.request('subscribe', { topics })).toMatchObject({ ok: true, replayed: 2 });
    expect(await user.eventsUntil(ids[1]!)).toEqual(ids);
    const guest = untilTestEnds(await WebSocketClient.connect(node.baseUrl, '/ws', {}));
    expect(await guest.request('subscribe', { topics })).toMatchObject({ ok: true, replayed: 1 });
    expect(await guest.eventsUntil(ids[0]!)).toEqual([ids[0]]);
  });
});

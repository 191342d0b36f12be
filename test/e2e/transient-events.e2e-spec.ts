import { Injectable, Module } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { DataSource } from 'typeorm';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { EventsModule } from '../../src/events/events.module.js';
import { EventsService } from '../../src/events/events.service.js';
import type { ApiClient } from '../support/api-client.js';
import { expectProblem } from '../support/bodies.js';
import { EventStreamReader } from '../support/event-stream-reader.js';
import { eventually } from '../support/eventually.js';
import { type RedisServer, startRedisServer } from '../support/redis-server.js';
import { SocketClient } from '../support/socket-client.js';
import { tokenFor } from '../support/tokens.js';
import { WebSocketClient } from '../support/websocket-client.js';
import { type RunningApp, World } from '../support/world.js';

@Injectable()
class Inside {
  constructor(
    readonly events: EventsService,
    @InjectDataSource() readonly dataSource: DataSource,
  ) {}
}

@Module({ imports: [EventsModule], providers: [Inside] })
class InsideModule {}

const QUOTE = 'quotes.price';
const SLOW = 'quotes.slow';

let world: World;
let redis: RedisServer;
let product: RunningApp;
let other: RunningApp;
let ann: ApiClient;
const clients: { close(): void }[] = [];

beforeAll(async () => {
  world = await World.create();
  redis = await startRedisServer();
  product = await world.start({ REDIS_URL: redis.url }, { modules: [InsideModule] });
  other = await world.start({ REDIS_URL: redis.url });
  ann = product.api.as(tokenFor('ann'));
  await product.api.post('/event-types', { name: QUOTE, durable: false }, 201);
  const coalesce = { intervalMs: 1_000 };
  await product.api.post('/event-types', { name: SLOW, durable: false, coalesce }, 201);
});
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});
afterAll(async () => {
  await world.stop();
  await redis.stop();
});

async function listen(app = product, owner = 'ann'): Promise<SocketClient> {
  const client = await SocketClient.connect(app.baseUrl, { auth: { token: tokenFor(owner) } });
  clients.push(client);
  await client.subscribe('quotes.*', 'durable.*');
  return client;
}

const bearer = (owner = 'ann') => ({ authorization: `Bearer ${tokenFor(owner)}` });

async function openStream(headers: Record<string, string> = {}): Promise<EventStreamReader> {
  const url = `${product.baseUrl}/api/v1/events/stream?types=quotes.*,durable.*`;
  const stream = await EventStreamReader.open(url, { ...bearer(), ...headers });
  clients.push(stream);
  await stream.next('connected');
  return stream;
}

async function openWebSocket(after?: string): Promise<WebSocketClient> {
  const client = await WebSocketClient.connect(product.baseUrl, '/ws', { headers: bearer() });
  clients.push(client);
  const request = { topics: ['quotes.*', 'durable.*'], ...(after !== undefined && { after }) };
  expect(await client.request('subscribe', request)).toMatchObject({ ok: true });
  return client;
}

/** Whether the event is in PostgreSQL. */
async function isStored(id: string): Promise<boolean> {
  const rows = await product.app.get(Inside).dataSource.query<unknown[]>(
    `SELECT id FROM events WHERE id = $1 UNION ALL
       SELECT event_id FROM event_outbox WHERE event_id = $1`,
    [id],
  );
  return rows.length > 0;
}

describe('an event of a type that is not durable', () => {
  it('goes to the connections of every node, marked, and nowhere else', async () => {
    const receiver = await world.receiver();
    await ann.webhook(receiver.url(), ['quotes.*', 'durable.*']);
    const [here, there, bob] = await Promise.all([listen(), listen(other), listen(product, 'bob')]);

    const answer = await ann.publish({ type: QUOTE, subject: 'AAPL', data: { price: 1 } });
    expect(answer).toEqual({
      id: expect.stringMatching(/^evt_/) as unknown,
      type: QUOTE,
      timestamp: expect.stringMatching(/Z$/) as unknown,
      duplicate: false,
      durable: false,
    });
    const { id, timestamp } = answer;
    const envelope = { id, type: QUOTE, timestamp, subject: 'AAPL', transient: true };
    for (const client of [here, there]) {
      expect(await client.next('event')).toEqual({ ...envelope, data: { price: 1 } });
    }

    expect(await isStored(id)).toBe(false);
    expectProblem(await ann.request('GET', `/events/${id}`), 404);
    const durable = await ann.publish({ type: 'durable.one' });
    expect(await isStored(durable.id)).toBe(true);
    expect(durable['durable']).toBeUndefined();
    await eventually(() => expect(receiver.requests).toHaveLength(1));
    expect(receiver.requests[0]!.headers['webhook-id']).toBe(durable.id);
    const bobs = await product.api.as(tokenFor('bob')).publish({ type: 'durable.two' });
    expect(await bob.eventsUntil(bobs.id)).toEqual([bobs.id]);
  });

  it('has no id in an event stream, which resumes after the last logged event', async () => {
    const stream = await openStream();
    const kept = await ann.publish({ type: 'durable.a' });
    const { id, timestamp } = await ann.publish({ type: QUOTE, subject: 'AAPL', data: 1 });
    expect((await stream.next('event')).id).toBe(kept.id);
    expect(await stream.next('event')).toEqual({
      event: 'event',
      data: { id, type: QUOTE, timestamp, subject: 'AAPL', transient: true, data: 1 },
    });
    stream.close();

    const missed = [await ann.publish({ type: QUOTE }), await ann.publish({ type: 'durable.b' })];
    const next = await openStream({ 'last-event-id': kept.id });
    expect(await next.next('resumed')).toMatchObject({ data: { recovered: true, replayed: 1 } });
    expect(await next.eventsUntil(missed[1]!.id)).toEqual([missed[1]!.id]);
  });

  it('is marked over a plain WebSocket, and not sent again to a client that resumes', async () => {
    const client = await openWebSocket();
    const kept = await ann.publish({ type: 'durable.a' });
    const { id, timestamp } = await ann.publish({ type: QUOTE, data: 1 });
    expect(await client.next('event')).toMatchObject({ event: { id: kept.id } });
    expect(await client.next('event')).toEqual({
      type: 'event',
      event: { id, type: QUOTE, timestamp, transient: true, data: 1 },
    });
    client.close();

    const last = await ann.publish({ type: 'durable.b' });
    const back = await openWebSocket(kept.id);
    expect(await back.eventsUntil(last.id)).toEqual([last.id]);
  });

  it('that a client names as its last one is no position in the log', async () => {
    const { id } = await ann.publish({ type: QUOTE });
    const stream = await openStream({ 'last-event-id': id });
    expect(await stream.next('resumed')).toMatchObject({ data: { recovered: false } });
    const next = await ann.publish({ type: QUOTE });
    expect((await stream.next('event')).data['id']).toBe(next.id);
  });

  it('is refused like any other when its data does not fit', async () => {
    const settings = { durable: false, schema: { required: ['price'] } };
    await product.api.request('PUT', '/event-types/quotes.checked', settings);
    const event = { type: 'quotes.checked', data: {} };
    expectProblem(await ann.request('POST', '/events', event), 422, 'data.price');
  });

  it('shares a batch with others, and is named in the response', async () => {
    const client = await listen();
    const events = [
      { type: 'durable.a', data: 1 },
      { type: QUOTE, data: 2 },
      { type: 'durable.b', data: 3 },
    ];
    const { ids, ...answer } = await ann.post('/events/batch', { events }, 202);
    expect(answer).toEqual({ accepted: 3, duplicate: false, transientIds: [ids[1]] });
    const received = await Promise.all(events.map(() => client.next('event')));
    expect(new Set(received.map(({ id }) => id))).toEqual(new Set(ids));
    expect((await ann.get(`/events/${ids[0]}`)).id).toBe(ids[0]);
    expectProblem(await ann.request('GET', `/events/${ids[1]}`), 404);
  });

  it('of a batch that is refused is not sent', async () => {
    const client = await listen();
    const events = [
      { type: QUOTE, data: 1 },
      { type: 'a..b', data: 1 },
    ];
    expectProblem(await ann.request('POST', '/events/batch', { events }), 422, 'events[1].type');
    const next = await ann.publish({ type: QUOTE });
    expect(await client.eventsUntil(next.id)).toEqual([next.id]);
  });

  it('takes no idempotency key, because it is not stored', async () => {
    const headers = { 'idempotency-key': 'k' };
    const one = { type: QUOTE, data: 1 };
    for (const [path, body] of [
      ['/events', one],
      ['/events/batch', { events: [{ type: 'durable.a', data: 1 }, one] }],
    ] as const) {
      expectProblem(await ann.request('POST', path, body, headers), 422, 'Idempotency-Key');
    }
    await ann.publish({ type: 'durable.a', data: 1 }, headers);
  });

  it('is no part of a transaction, because it could not be rolled back', async () => {
    const { events, dataSource } = product.app.get(Inside);
    await dataSource.transaction(async (manager) => {
      const publishing = events.publish({ type: QUOTE, data: 1 }, { manager });
      await expect(publishing).rejects.toThrow(/type: quotes\.price is not durable/);
    });
    expect(await events.publish({ type: QUOTE, data: 1 })).toMatchObject({ durable: false });
  });
});

describe('a type whose events are coalesced', () => {
  it('sends the first event of a subject at once, and of those that follow the latest', async () => {
    const client = await listen(other);
    const publish = (subject: string, price: number) =>
      ann.publish({ type: SLOW, subject, data: { price } });
    for (let price = 1; price <= 10; price++) {
      for (const subject of ['AAPL', 'MSFT']) await publish(subject, price);
    }
    const prices: Record<string, unknown[]> = { AAPL: [], MSFT: [] };
    while (Object.values(prices).some((seen) => seen.at(-1) !== 10)) {
      const { subject, data } = await client.next('event');
      prices[String(subject)]!.push((data as { price: number }).price);
    }
    for (const seen of Object.values(prices)) {
      expect(seen[0]).toBe(1);
      expect(seen).toEqual([...seen].sort((a, b) => Number(a) - Number(b)));
      expect(seen.length).toBeLessThan(10);
    }
  });

  it('sends the latest over each transport', async () => {
    const connections = [await openStream(), await openWebSocket()] as const;
    const publish = (data: number) => ann.publish({ type: SLOW, subject: 'META', data });
    for (let price = 1; price < 10; price++) await publish(price);
    const last = await publish(10);
    const [stream, webSocket] = connections;
    for (const next of [
      async () => (await stream.next('event')).data['id'],
      async () => ((await webSocket.next('event'))['event'] as { id: string }).id,
    ]) {
      let count = 0;
      for (let id: unknown; id !== last.id; count++) id = await next();
      expect(count).toBeLessThan(10);
    }
  });

  it('sends the events of each owner separately', async () => {
    const [anns, bobs] = await Promise.all([listen(), listen(product, 'bob')]);
    for (const owner of ['ann', 'bob']) {
      const api = product.api.as(tokenFor(owner));
      await api.publish({ type: SLOW, subject: 'TSLA', data: owner });
    }
    expect(await anns.next('event')).toMatchObject({ data: 'ann' });
    expect(await bobs.next('event')).toMatchObject({ data: 'bob' });
  });

  it('sends what waits before a change of the type takes effect', async () => {
    const client = await listen();
    const name = 'quotes.changing';
    const coalesce = { intervalMs: 60_000 };
    await product.api.post('/event-types', { name, durable: false, coalesce }, 201);
    const [first, , third] = [
      await ann.publish({ type: name, data: 1 }),
      await ann.publish({ type: name, data: 2 }),
      await ann.publish({ type: name, data: 3 }),
    ];
    await product.api.request('PUT', `/event-types/${name}`, {});
    const durable = await ann.publish({ type: name, data: 4 });
    expect(await client.eventsUntil(durable.id)).toEqual([first.id, third.id, durable.id]);
  });

  it('sends what waits when the process stops', async () => {
    const name = 'quotes.last';
    const coalesce = { intervalMs: 60_000 };
    await product.api.post('/event-types', { name, durable: false, coalesce }, 201);
    const ending = await world.start({ REDIS_URL: redis.url });
    const client = await listen(other);
    const api = ending.api.as(tokenFor('ann'));
    await api.publish({ type: name, data: 1 });
    const last = await api.publish({ type: name, data: 2 });
    await ending.app.close();
    expect((await client.eventsUntil(last.id)).at(-1)).toBe(last.id);
  });
});

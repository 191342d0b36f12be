import { randomUUID } from 'node:crypto';
import { InjectDataSource } from '@nestjs/typeorm';
import { Injectable, Module } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { EventsModule } from '../../src/events/events.module.js';
import { EventsService } from '../../src/events/events.service.js';
import { Connections } from '../../src/realtime/connections/connections.service.js';
import { FanoutService } from '../../src/realtime/fanout/fanout.service.js';
import { eventually } from '../support/eventually.js';
import { EventStreamReader } from '../support/event-stream-reader.js';
import { anyEvent } from '../support/realtime-app.js';
import { SocketClient } from '../support/socket-client.js';
import { type RedisServer, startRedisServer } from '../support/stores.js';
import { tokenFor } from '../support/tokens.js';
import { WebSocketClient } from '../support/websocket-client.js';
import { whilePublishing } from '../support/while-publishing.js';
import { type RunningApp, World } from '../support/world.js';

/** As an internal module does: publishes within a transaction that the test ends. */
@Injectable()
class Ledger {
  constructor(
    @InjectDataSource() readonly dataSource: DataSource,
    readonly events: EventsService,
  ) {}
}
@Module({ imports: [EventsModule], providers: [Ledger] })
class LedgerModule {}

const TYPE = 'trade.done';

let world: World;
let redis: RedisServer;
let node: RunningApp;
let other: RunningApp;
let ledger: Ledger;
const clients: { close(): void }[] = [];

beforeAll(async () => {
  [world, redis] = await Promise.all([World.create(), startRedisServer()]);
  node = await world.start({ REDIS_URL: redis.url }, { modules: [LedgerModule] });
  other = await world.start({ REDIS_URL: redis.url });
  ledger = node.app.get(Ledger);
});
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});
afterAll(async () => {
  await world?.stop();
  await redis?.stop();
});

async function connect(owner: string, at = node): Promise<SocketClient> {
  const client = await SocketClient.connect(at.baseUrl, { auth: { token: tokenFor(owner) } });
  clients.push(client);
  return client;
}

const publish = async (ownerId: string, more: object = {}): Promise<string> =>
  (await node.api.post('/events', { type: TYPE, data: {}, ownerId, ...more }, 202)).id;

/** So many, one after the other. */
async function publishSome(owner: string, count: number): Promise<string[]> {
  const ids: string[] = [];
  while (ids.length < count) ids.push(await publish(owner));
  return ids;
}

const resume = (client: SocketClient, after: string, topics: unknown[] = ['trade.*']) =>
  client.request('subscribe', { topics, after });

describe('a client that resumes', () => {
  it('is sent what it missed, in order and once, and then new events', async () => {
    const owner = randomUUID();
    const seen = await publish(owner);
    const missed = await publishSome(owner, 5);
    const client = await connect(owner);
    expect(await resume(client, seen)).toMatchObject({ ok: true, recovered: true, replayed: 5 });
    const news = await publish(owner);
    expect(await client.eventsUntil(news)).toEqual([...missed, news]);
  });

  it('may resume on another node, and after all nodes were restarted', async () => {
    const owner = randomUUID();
    const seen = await publish(owner);
    const missed = await publishSome(owner, 3);
    const later = await world.start({ REDIS_URL: redis.url });
    for (const at of [other, later]) {
      const client = await connect(owner, at);
      expect(await resume(client, seen)).toMatchObject({ recovered: true, replayed: 3 });
      expect(await client.eventsUntil(missed.at(-1)!)).toEqual(missed);
    }
  });

  it('misses nothing and receives nothing twice while events are published', async () => {
    const owner = randomUUID();
    const seen = await publish(owner);
    const join = () =>
      Promise.all(
        [node, other, node, other].map(async (at) => {
          const client = await connect(owner, at);
          expect(await resume(client, seen)).toMatchObject({ recovered: true });
          return client;
        }),
      );
    const { published, result: joined } = await whilePublishing(() => publish(owner), join);
    for (const client of joined) {
      const received = await client.eventsUntil(published.at(-1)!);
      expect(received).toEqual(published);
    }
  });

  it('is answered between the missed events, in the order of the log, and the live ones', async () => {
    const owner = randomUUID();
    const seen = await publish(owner);
    const events = Array.from({ length: 1_000 }, () => ({ type: TYPE, data: {}, ownerId: owner }));
    for (let n = 0; n < 3; n++) await node.api.post('/events/batch', { events }, 202);
    const headers = { authorization: `Bearer ${tokenFor(owner)}` };
    const client = await WebSocketClient.connect(other.baseUrl, '/ws', { headers });
    clients.push(client);
    const frames: string[] = [];
    client.socket.on('message', (data: Buffer) => {
      const frame = JSON.parse(data.toString()) as { type: string; event?: { id: string } };
      frames.push(frame.event?.id ?? frame.type);
    });
    const [connection] = other.app.get(Connections, { strict: false }).ofOwner(owner);
    client.send({ type: 'subscribe', topics: [TYPE], after: seen, requestId: 0 });
    await eventually(() => expect(connection?.gate).toBeDefined());
    // Younger than all events of the log, and known to this node alone.
    const live = anyEvent({ ownerId: owner, type: TYPE });
    other.app.get(FanoutService, { strict: false }).deliver([live]);
    await eventually(() => expect(frames).toContain(live.id));
    const rows: { id: string }[] = await ledger.dataSource.query(
      'SELECT id FROM events WHERE owner_id = $1 AND id <> $2 AND type = $3 ORDER BY tx, id',
      [owner, seen, TYPE],
    );
    const missed = frames.slice(frames.indexOf(rows[0]!.id), frames.indexOf('ack'));
    expect(missed).toEqual(rows.map(({ id }) => id));
    expect(frames.slice(frames.indexOf('ack'))).toEqual(['ack', live.id]);
  });

  it('is sent what was committed late, although it has received later events', async () => {
    const owner = randomUUID();
    const runner = ledger.dataSource.createQueryRunner();
    await runner.startTransaction();
    const event = { type: TYPE, data: {}, ownerId: owner };
    const late = await ledger.events.publish(event, { manager: runner.manager });
    const seen = await publish(owner);
    expect(late.id < seen).toBe(true);
    await runner.commitTransaction();
    await runner.release();
    const client = await connect(owner, other);
    expect(await resume(client, seen)).toMatchObject({ recovered: true });
    expect(await client.next('event')).toMatchObject({ id: late.id });
  });

  it('is informed of a gap when the log does not reach back, and receives new events', async () => {
    const owner = randomUUID();
    await publish(owner);
    const client = await connect(owner);
    const unknown = 'evt_01h455vb4pex5vsknk084sn02q';
    expect(await resume(client, unknown)).toMatchObject({ recovered: false, replayed: 0 });
    const news = await publish(owner);
    expect(await client.eventsUntil(news)).toEqual([news]);
  });

  it('cannot learn of, nor resume at, events of other owners', async () => {
    const [owner, stranger] = [randomUUID(), randomUUID()];
    const seen = await publish(owner);
    await publishSome(owner, 2);
    const own = await publish(stranger);
    const client = await connect(stranger);
    expect(await resume(client, seen)).toMatchObject({ recovered: false, replayed: 0 });
    await publish(owner);
    const news = await publish(stranger);
    expect(await client.eventsUntil(news)).toEqual([news]);
    expect(await resume(client, own)).toMatchObject({ recovered: true, replayed: 1 });
  });

  it('is sent only what its topics select', async () => {
    const owner = randomUUID();
    const seen = await publish(owner);
    await publish(owner, { type: 'quote.changed' });
    const apple = await publish(owner, { subject: 'AAPL' });
    await publish(owner, { subject: 'MSFT' });
    const client = await connect(owner);
    const answer = await resume(client, seen, [{ type: TYPE, subject: 'AAPL' }]);
    expect(answer).toMatchObject({ recovered: true, replayed: 1 });
    expect(await client.next('event')).toMatchObject({ id: apple });
  });

  it('may resume many events ago: more than one page of the log', async () => {
    const owner = randomUUID();
    const seen = await publish(owner);
    const events = Array.from({ length: 1_000 }, (_, n) => ({
      type: TYPE,
      data: { n },
      ownerId: owner,
    }));
    const missed: string[] = [];
    for (let batch = 0; batch < 5; batch++) {
      missed.push(...(await node.api.post('/events/batch', { events }, 202)).ids);
    }
    const client = await connect(owner);
    expect(await resume(client, seen)).toMatchObject({ recovered: true, replayed: 5_000 });
    expect(await client.eventsUntil(missed.at(-1)!)).toEqual(missed);
  });
});

describe('the other transports', () => {
  it('resume a plain WebSocket in the same way', async () => {
    const owner = randomUUID();
    const seen = await publish(owner);
    const missed = await publishSome(owner, 3);
    const headers = { authorization: `Bearer ${tokenFor(owner)}` };
    const client = await WebSocketClient.connect(node.baseUrl, '/ws', { headers });
    clients.push(client);
    const answer = await client.request('subscribe', { topics: [TYPE], after: seen });
    expect(answer).toMatchObject({ ok: true, recovered: true, replayed: 3 });
    expect(await client.eventsUntil(missed.at(-1)!)).toEqual(missed);
  });

  it('resume an event stream from Last-Event-ID', async () => {
    const owner = randomUUID();
    const seen = await publish(owner);
    const missed = await publishSome(owner, 3);
    const url = `${node.baseUrl}/api/v1/events/stream?types=${TYPE}`;
    const headers = { authorization: `Bearer ${tokenFor(owner)}`, 'last-event-id': seen };
    const reader = await EventStreamReader.open(url, headers);
    clients.push(reader);
    expect(await reader.eventsUntil(missed.at(-1)!)).toEqual(missed);
    expect(await reader.next('resumed')).toMatchObject({ data: { recovered: true, replayed: 3 } });
  });
});

describe('a connected client', () => {
  it('receives what another node publishes while Redis is away, some seconds later', async () => {
    const owner = randomUUID();
    const client = await connect(owner, other);
    await client.subscribe('trade.*');
    const before = await publish(owner);
    expect(await client.eventsUntil(before)).toEqual([before]);
    await redis.stop();
    const missed = await publishSome(owner, 3);
    expect(await client.eventsUntil(missed.at(-1)!)).toEqual(missed);
    // What had waited for Redis comes now, too, before this event.
    redis = await startRedisServer({ port: redis.port });
    const last = await publish(owner);
    expect(await client.eventsUntil(last)).toEqual([last]);
  });

  it('is not sent what was published before it came, when Redis is back', async () => {
    const owner = randomUUID();
    await redis.stop();
    const early = await publishSome(owner, 3);
    const fanout = other.app.get(FanoutService, { strict: false });
    await eventually(() => {
      for (const id of early) expect(fanout.hasDelivered(id)).toBe(true);
    });
    const client = await connect(owner, other);
    await client.subscribe('trade.*');
    redis = await startRedisServer({ port: redis.port });
    const last = await publish(owner);
    expect(await client.eventsUntil(last)).toEqual([last]);
  });
});

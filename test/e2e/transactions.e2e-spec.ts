import { Injectable, Module } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { DataSource, type EntityManager } from 'typeorm';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { InvalidInputError } from '../../src/shared/app-error.js';
import { EventsModule } from '../../src/events/events.module.js';
import { EventsService } from '../../src/events/events.service.js';
import { SocketClient } from '../support/socket-client.js';
import { tokenFor } from '../support/tokens.js';
import { verify, type WebhookReceiver } from '../support/webhook-receiver.js';
import { type RunningApp, World } from '../support/world.js';

/** Something of a product that Tidings is built into: its own table, and events about its rows. */
@Injectable()
class Trades {
  constructor(
    @InjectDataSource() readonly dataSource: DataSource,
    readonly events: EventsService,
  ) {}

  /** Books a trade and says so, in the caller's transaction. */
  async book(manager: EntityManager, name: string, ownerId?: string): Promise<string> {
    await manager.query('INSERT INTO trades (name) VALUES ($1)', [name]);
    const event = {
      type: 'trade.booked',
      subject: name,
      data: { name },
      ...(ownerId && { ownerId }),
    };
    return (await this.events.publish(event, { manager })).id;
  }

  async names(): Promise<string[]> {
    const rows = await this.dataSource.query<{ name: string }[]>('SELECT name FROM trades');
    return rows.map(({ name }) => name);
  }
}

@Module({ imports: [EventsModule], providers: [Trades] })
class TradesModule {}

class Regret extends Error {}

let world: World;
let product: RunningApp;
let trades: Trades;
let receiver: WebhookReceiver;
let secret: string;
let socket: SocketClient;

beforeAll(async () => {
  world = await World.create();
  product = await world.start({}, { modules: [TradesModule] });
  trades = product.app.get(Trades);
  await trades.dataSource.query('CREATE TABLE trades (name text NOT NULL)');
  receiver = await world.receiver();
  ({ secret } = await product.api.webhook(receiver.url(), ['trade.*']));
  socket = await SocketClient.connect(product.baseUrl, { auth: { token: tokenFor('listener') } });
  await socket.subscribe('trade.*');
});
afterAll(async () => {
  socket?.close();
  await world.stop();
});
beforeEach(() => void receiver.requests.splice(0));

/** Everything that came, at the receiver and at the socket, up to an event that is published now. */
async function arrivedSoFar(): Promise<{ received: string[]; pushed: string[] }> {
  const { id } = await trades.events.publish({ type: 'trade.control', data: null });
  const isThere = () => receiver.requests.some((request) => request.json.id === id);
  await expect.poll(isThere, { timeout: 15_000 }).toBe(true);
  const pushed = await socket.eventsUntil(id);
  const received = receiver.requests.map((request) => request.json.id);
  return {
    received: received.filter((one) => one !== id),
    pushed: pushed.filter((one) => one !== id),
  };
}

describe("an event in the caller's transaction", () => {
  it('is delivered to webhooks and sockets when it commits, and not before', async () => {
    const id = await trades.dataSource.transaction(async (manager) => {
      const booked = await trades.book(manager, 'committed');
      // Another event, outside, arrives meanwhile; this one does not.
      expect(await arrivedSoFar()).toEqual({ received: [], pushed: [] });
      await product.api.get(`/events/${booked}`, 404);
      return booked;
    });
    const [, request] = await receiver.expectRequests(2);
    expect(request!.json).toMatchObject({ id, type: 'trade.booked', subject: 'committed' });
    verify(request!, secret);
    expect(await socket.next('event')).toEqual(request!.json);
    expect(await product.api.get(`/events/${id}`)).toMatchObject({
      id,
      data: { name: 'committed' },
    });
    expect(await trades.names()).toContain('committed');
  });

  it('never happened when it rolls back', async () => {
    let id = '';
    const failing = trades.dataSource.transaction(async (manager) => {
      id = await trades.book(manager, 'rolled back');
      throw new Regret();
    });
    await expect(failing).rejects.toThrow(Regret);
    const later = await trades.dataSource.transaction((manager) => trades.book(manager, 'later'));
    await expect.poll(() => receiver.requests.map((r) => r.json.id)).toContain(later);
    expect(await socket.next('event')).toMatchObject({ id: later });
    expect(await arrivedSoFar()).toEqual({ received: [later], pushed: [] });
    await product.api.get(`/events/${id}`, 404);
    const log = await product.api.get('/events?limit=200');
    expect(log.data.map((event) => event.id)).not.toContain(id);
    expect(await trades.names()).not.toContain('rolled back');
  });

  it('goes with its savepoint, and only with its own', async () => {
    const [kept, last] = await trades.dataSource.transaction(async (outer) => {
      const before = await trades.book(outer, 'before the savepoint');
      const nested = outer.transaction(async (inner) => {
        await trades.book(inner, 'within the savepoint');
        throw new Regret();
      });
      await expect(nested).rejects.toThrow(Regret);
      return [before, await trades.book(outer, 'after the savepoint')];
    });
    await receiver.expectRequests(2);
    const { received, pushed } = await arrivedSoFar();
    expect(received.sort()).toEqual([kept, last]);
    expect(pushed.sort()).toEqual([kept, last]);
  });

  it.each(['REPEATABLE READ', 'SERIALIZABLE'] as const)('may be %s', async (isolation) => {
    const id = await trades.dataSource.transaction(isolation, async (manager) => {
      await manager.query('SELECT count(*) FROM trades');
      // A webhook that changes meanwhile must not make the transaction fail.
      await product.api.webhook(receiver.url('/never'), [`never.${isolation.length}`]);
      return trades.book(manager, isolation);
    });
    const [request] = await receiver.expectRequests(1);
    expect(request!.json.id).toBe(id);
    expect(await socket.next('event')).toMatchObject({ id });
  });

  it('is received by its owner, and by no other', async () => {
    const theirs = await world.receiver();
    await product.api.as(tokenFor('carol')).webhook(theirs.url('/carol'), ['trade.booked']);
    await product.api.as(tokenFor('dave')).webhook(theirs.url('/dave'), ['trade.booked']);
    const id = await trades.dataSource.transaction((tx) => trades.book(tx, 'owned', 'carol'));
    const [request] = await theirs.expectRequests(1);
    expect([request!.path, request!.json.id]).toEqual(['/carol', id]);
    // The operator's webhook receives the events of all owners; the client belongs to another owner.
    expect(await arrivedSoFar()).toEqual({ received: [id], pushed: [] });
    expect(theirs.requests).toHaveLength(1);
  });

  it('may be one of many, in one call', async () => {
    const { ids } = await trades.dataSource.transaction((manager) => {
      const events = Array.from({ length: 300 }, (_, n) => ({ type: 'trade.many', data: { n } }));
      return trades.events.publishBatch(events, { manager });
    });
    const requests = await receiver.expectRequests(300);
    expect(new Set(requests.map((r) => r.json.id))).toEqual(new Set(ids));
    expect((await arrivedSoFar()).pushed.sort()).toEqual([...ids].sort());
  });
});

describe('an event that is published without a transaction', () => {
  it('is committed when the promise settles', async () => {
    const { id, duplicate } = await trades.events.publish({ type: 'trade.alone', data: { n: 1 } });
    expect(duplicate).toBe(false);
    expect(await product.api.get(`/events/${id}`)).toMatchObject({ id, data: { n: 1 } });
    await receiver.expectRequests(1);
    expect(await arrivedSoFar()).toEqual({ received: [id], pushed: [id] });
  });
});

describe('input that is not an event', () => {
  const cases: [field: string, event: object][] = [
    ['type', { type: 'no spaces allowed', data: 1 }],
    ['data', { type: 'trade.bad' }],
    ['priority', { type: 'trade.bad', data: 1, priority: 'urgent' }],
    ['ttlMs', { type: 'trade.bad', data: 1, ttlMs: 0 }],
  ];

  it.each(cases)('is refused by the name of its field: %s', async (field, event) => {
    const attempt = trades.dataSource.transaction(async (manager) => {
      await trades.events.publish(event as never, { manager });
    });
    await expect(attempt).rejects.toThrow(InvalidInputError);
    await expect(attempt).rejects.toMatchObject({ errors: [{ field }] });
    const batch = trades.events.publishBatch([{ type: 'trade.good', data: 1 }, event as never]);
    await expect(batch).rejects.toMatchObject({ errors: [{ field: `events[1].${field}` }] });
    expect(await arrivedSoFar()).toEqual({ received: [], pushed: [] });
  });
});

import Bull from 'bull';
import { Redis } from 'ioredis';
import { Client } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.js';
import { Ledger } from '../support/ledger.js';
import { SocketClient } from '../support/socket-client.js';
import { type RedisServer, startRedisServer } from '../support/stores.js';
import { tokenFor } from '../support/tokens.js';
import type { WebhookReceiver } from '../support/webhook-receiver.js';
import { type RunningApp, World } from '../support/world.js';

let redis: RedisServer;
let world: World;
let receiver: WebhookReceiver;

beforeAll(async () => {
  redis = await startRedisServer();
});
afterAll(() => redis.stop());
beforeEach(async () => {
  world = await World.create();
  receiver = await world.receiver();
});
afterEach(() => world.stop());

/** One process that publishes, another that delivers, and Redis between them. */
async function publisherAndWorker(): Promise<{ publisher: RunningApp; worker: RunningApp }> {
  const env = { REDIS_URL: redis.url };
  const publisher = await world.start({ ...env, ROLES: 'api' });
  const worker = await world.start({ ...env, ROLES: 'worker' });
  await publisher.api.webhook(receiver.url(), ['*']);
  return { publisher, worker };
}

const publishMany = ({ api }: RunningApp, ledger: Ledger, count: number): Promise<unknown> =>
  Promise.all(Array.from({ length: count }, () => ledger.publish(api)));

describe('a Redis that fails', () => {
  it('by hanging: events are accepted, and delivered before it is back', async () => {
    const { publisher } = await publisherAndWorker();
    const ledger = new Ledger('redis.hangs');
    await publishMany(publisher, ledger, 20);
    await ledger.expectAllAt(receiver);
    redis.pause();
    try {
      await publishMany(publisher, ledger, 200);
      expect(ledger.refusals).toEqual([]);
      expect(ledger.acknowledged.size).toBe(220);
      await ledger.expectAllAt(receiver);
    } finally {
      redis.resume();
    }
    await publishMany(publisher, ledger, 20);
    await ledger.expectAllAt(receiver);
    expect(ledger.duplicatesAt(receiver)).toEqual([]);
  });

  it('by stopping: nothing is lost, and the queue is used again when it is back', async () => {
    const { publisher } = await publisherAndWorker();
    const ledger = new Ledger('redis.dies');
    ledger.startLoad(publisher.api);
    await ledger.reaches(50);
    await redis.kill();
    await ledger.reaches(ledger.acknowledged.size + 100);
    redis = await startRedisServer({ port: redis.port });
    await ledger.reaches(ledger.acknowledged.size + 100);
    await ledger.stopLoad();
    expect(ledger.refusals).toEqual([]);
    await ledger.expectAllAt(receiver);
    expect(ledger.duplicatesAt(receiver)).toEqual([]);
    const queue = new Redis(redis.url);
    // Bull counts its jobs; this Redis was empty at its start.
    const jobs = async () => Number(await queue.get('tidings:tidings-deliveries:id'));
    await eventually(async () => {
      await publishMany(publisher, ledger, 1);
      expect(await jobs()).toBeGreaterThan(0);
    });
    await ledger.expectAllAt(receiver);
    queue.disconnect();
  });

  it('by losing its data, again and again: nothing is lost', async () => {
    const { publisher } = await publisherAndWorker();
    const ledger = new Ledger('redis.forgets');
    const eraser = new Redis(redis.url);
    ledger.startLoad(publisher.api);
    for (let count = 40; count <= 400; count += 40) {
      await ledger.reaches(count);
      await eraser.flushall();
    }
    await ledger.stopLoad();
    eraser.disconnect();
    expect(ledger.refusals).toEqual([]);
    await ledger.expectAllAt(receiver);
    expect(ledger.duplicatesAt(receiver)).toEqual([]);
  });

  it('with jobs that the product did not make: they are dropped, and harm nothing', async () => {
    const { publisher } = await publisherAndWorker();
    const queue = new Bull('tidings-deliveries', redis.url, { prefix: 'tidings' });
    const { id } = await publisher.api.publish({ type: 'junk.before' });
    await receiver.expectRequests(1);
    for (const data of [
      {},
      null,
      'chunk',
      { v: 1 },
      { v: 1, eventIds: 'evt_1' },
      { v: 1, eventIds: [null, {}] },
      { v: 2, eventIds: [id] },
      { v: 1, eventIds: [] },
      { v: 1, eventIds: ['', 'evt_unknown', "'; DROP TABLE events", '\u0000', '\u001e', id, id] },
    ]) {
      await queue.add('chunk', data, { attempts: 1, removeOnComplete: true, removeOnFail: true });
    }
    await queue.add('of-another-kind', { v: 1, eventIds: [id] }, { removeOnFail: true });
    await eventually(async () => {
      const counts = await queue.getJobCounts();
      expect(counts).toMatchObject({ waiting: 0, active: 0, completed: 0, failed: 0, delayed: 0 });
    });
    await queue.close();
    const control = await publisher.api.publish({ type: 'junk.after' });
    const requests = await receiver.expectRequests(2);
    expect(requests.map((r) => r.json.id)).toEqual([id, control.id]);
  });
});

describe('a PostgreSQL that cuts every connection, again and again', () => {
  it('costs refusals with 503, and no event that was accepted', async () => {
    const product = await world.start();
    await product.api.webhook(receiver.url(), ['*']);
    const socket = await SocketClient.connect(product.baseUrl, {
      auth: { token: tokenFor('listener') },
    });
    await socket.subscribe('*');
    const breaker = new Client({ connectionString: world.database.url });
    await breaker.connect();
    const ledger = new Ledger('postgres.cuts');
    ledger.startLoad(product.api);
    for (let round = 1; round <= 12; round++) {
      await ledger.reaches(round * 40);
      await breaker.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE datname = current_database() AND pid <> pg_backend_pid()`,
      );
    }
    await ledger.reaches(600);
    await ledger.stopLoad();
    await breaker.end();
    expect(ledger.refusals.filter((status) => status !== 503)).toEqual([]);
    // An outcome whose write was cut off is written again, under the same lease.
    await ledger.expectAllAt(receiver);
    expect(ledger.duplicatesAt(receiver)).toEqual([]);

    // Notifications are connected again: changes are noticed, and new events are sent.
    const late = await world.receiver();
    await product.api.webhook(late.url(), ['postgres.after']);
    const { id } = await product.api.publish({ type: 'postgres.after' });
    expect((await late.expectRequests(1))[0]!.json.id).toBe(id);
    expect((await socket.eventsUntil(id)).at(-1)).toBe(id);
    socket.close();
  });
});

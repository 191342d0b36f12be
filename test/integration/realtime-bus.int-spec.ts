import { Redis } from 'ioredis';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { PRODUCTION_TIMINGS } from '../../src/config/timings.js';
import { newId } from '../../src/shared/ids.js';
import type { RealtimeEvent } from '../../src/shared/envelope.js';
import { RedisRealtimeBus } from '../../src/cluster/realtime-bus.client.js';
import { anyEvent, type RealtimeApp } from '../support/realtime-app.js';
import { socketIo, startApp, startApps } from '../support/short-lived.js';
import { TEST_TIMINGS } from '../support/timings.js';
import { redisUrl, type RedisServer, startRedisServer } from '../support/stores.js';

const TIMINGS = { ...PRODUCTION_TIMINGS, ...TEST_TIMINGS };

describe('several nodes with one Redis', () => {
  it('send each other what they publish, once', async () => {
    const env = { REDIS_URL: redisUrl() };
    const [a, b, worker] = await startApps(env, env, { ...env, ROLES: 'worker' });
    const owner = newId('key');
    const clients = [await socketIo(a, owner), await socketIo(b, owner)];
    for (const client of clients) await client.subscribe('*');

    for (const publisher of [a, b, worker]) {
      const ids = Array.from({ length: 50 }, () => publisher.publish({ ownerId: owner }));
      for (const client of clients) expect(await client.eventsUntil(ids.at(-1)!)).toEqual(ids);
    }
  });

  it('are separate in different databases of one Redis', async () => {
    const [a, other] = await startApps(
      { REDIS_URL: `${redisUrl()}/1` },
      { REDIS_URL: `${redisUrl()}/2` },
    );
    const owner = newId('key');
    const client = await socketIo(a, owner);
    await client.subscribe('*');
    other.publish({ ownerId: owner });
    const neighbour = await startApp({ REDIS_URL: `${redisUrl()}/1`, ROLES: 'api' });
    const received = neighbour.publish({ ownerId: owner });
    expect(await client.eventsUntil(received)).toEqual([received]);
  });

  it('start without Redis and find each other when it comes', async () => {
    const reserved = await startRedisServer();
    await reserved.stop();
    const env = { REDIS_URL: reserved.url };
    const [a, worker] = await startApps(env, { ...env, ROLES: 'worker' });
    const client = await socketIo(a, 'acme');
    await client.subscribe('*');
    // Local fan-out works meanwhile.
    const local = a.publish({ type: 'local' });
    expect(await client.eventsUntil(local)).toEqual([local]);

    const redis = await startRedisServer({ port: reserved.port });
    onTestFinished(() => redis.stop());
    await expectConnected(worker, a);
  });

  it('find each other again after Redis was killed', async () => {
    let redis = await startRedisServer();
    onTestFinished(() => redis.stop());
    const env = { REDIS_URL: redis.url };
    const [a, worker] = await startApps(env, { ...env, ROLES: 'worker' });
    await expectConnected(worker, a);
    for (let round = 0; round < 2; round++) {
      await redis.kill();
      for (let n = 0; n < 1_000; n++) worker.publish({});
      redis = await startRedisServer({ port: redis.port });
      await expectConnected(worker, a);
    }
  });
});

/** Publishes until something arrives: a subscription that was lost comes back in its own time. */
async function expectConnected(publisher: RealtimeApp, listener: RealtimeApp): Promise<void> {
  const type = `control.${newId('key')}`;
  const client = await socketIo(listener, 'acme');
  await client.subscribe(type);
  let isReceived = false;
  void client.next('event').then(() => (isReceived = true));
  const publishOnce = () => {
    publisher.publish({ type });
    return isReceived;
  };
  await expect.poll(publishOnce, { timeout: 15_000 }).toBe(true);
}

describe(RedisRealtimeBus, () => {
  let redis: RedisServer;
  let sender: RedisRealtimeBus;
  let received: RealtimeEvent[];

  beforeEach(async () => {
    redis = await startRedisServer();
    onTestFinished(() => redis.stop());
    sender = new RedisRealtimeBus(redis.url, TIMINGS);
    onTestFinished(() => sender.onApplicationShutdown());
    const receiver = new RedisRealtimeBus(redis.url, TIMINGS);
    onTestFinished(() => receiver.onApplicationShutdown());
    received = [];
    await receiver.receiveEvents((events) => void received.push(...events));
  });

  const idsOf = (events: readonly RealtimeEvent[]) => events.map(({ id }) => id);
  const some = (count: number) => Array.from({ length: count }, () => anyEvent({}));

  it('loses and repeats nothing, and keeps the order, when Redis hangs for a while', async () => {
    const before = some(10);
    sender.publish(before);
    await expect.poll(() => received.length).toBe(10);
    const probe = new Redis(redis.url, { commandTimeout: 2_000 });
    onTestFinished(() => probe.disconnect());
    await probe.ping();
    redis.pause();
    const meanwhile = Array.from({ length: 200 }, () => some(5));
    for (const events of meanwhile) sender.publish(events);
    // This waits longer than the sender, which has closed its connection and sends the batch again.
    await expect(probe.ping()).rejects.toThrow('timed out');
    redis.resume();
    const all = [...before, ...meanwhile.flat()];
    await expect
      .poll(() => received.length, { timeout: 15_000 })
      .toBeGreaterThanOrEqual(all.length);
    expect(idsOf(received)).toEqual(idsOf(all));
  });

  it('publishes what waits before it closes', async () => {
    const events = some(2_000);
    sender.publish(events);
    await sender.onApplicationShutdown();
    await expect.poll(() => received.length).toBe(2_000);
    expect(idsOf(received)).toEqual(idsOf(events));
  });

  it('closes without Redis, and publishes nothing after that', async () => {
    await redis.kill();
    sender.publish(some(10));
    await sender.onApplicationShutdown();
    sender.publish(some(10));
    expect(received).toEqual([]);
  });
});

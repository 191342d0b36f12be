import { Redis } from 'ioredis';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { newId } from '../../src/shared/ids.js';
import type { RealtimeEvent } from '../../src/shared/realtime-event.js';
import { RedisRealtimeBus } from '../../src/cluster/realtime-bus.client.js';
import { anyEvent, type RealtimeApp } from '../support/realtime-app.js';
import { socketIo, startApp, startApps } from '../support/short-lived.js';
import { redisUrl, type RedisServer, startRedisServer } from '../support/stores.js';

describe('several processes with one Redis', () => {
  it('tell each other what they publish, once', async () => {
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

  it('are told apart by the database of their Redis', async () => {
    const [a, other] = await startApps(
      { REDIS_URL: `${redisUrl()}/1` },
      { REDIS_URL: `${redisUrl()}/2` },
    );
    const owner = newId('key');
    const client = await socketIo(a, owner);
    await client.subscribe('*');
    other.publish({ ownerId: owner });
    const neighbour = await startApp({ REDIS_URL: `${redisUrl()}/1`, ROLES: 'api' });
    const heard = neighbour.publish({ ownerId: owner });
    expect(await client.eventsUntil(heard)).toEqual([heard]);
  });

  it('start without Redis and find each other when it comes', async () => {
    const reserved = await startRedisServer();
    await reserved.stop();
    const env = { REDIS_URL: reserved.url };
    const [a, worker] = await startApps(env, { ...env, ROLES: 'worker' });
    const client = await socketIo(a, 'acme');
    await client.subscribe('*');
    // The local way works meanwhile.
    const local = a.publish({ type: 'local' });
    expect(await client.eventsUntil(local)).toEqual([local]);

    const redis = await startRedisServer({ port: reserved.port });
    onTestFinished(() => redis.stop());
    await expectToBeHeard(worker, a);
  });

  it('find each other again after Redis was killed', async () => {
    let redis = await startRedisServer();
    onTestFinished(() => redis.stop());
    const env = { REDIS_URL: redis.url };
    const [a, worker] = await startApps(env, { ...env, ROLES: 'worker' });
    await expectToBeHeard(worker, a);
    for (let round = 0; round < 2; round++) {
      await redis.kill();
      for (let n = 0; n < 1_000; n++) worker.publish({});
      redis = await startRedisServer({ port: redis.port });
      await expectToBeHeard(worker, a);
    }
  });
});

/** Publishes until something arrives: a subscription that was lost comes back in its own time. */
async function expectToBeHeard(publisher: RealtimeApp, listener: RealtimeApp): Promise<void> {
  const type = `control.${newId('key')}`;
  const client = await socketIo(listener, 'acme');
  await client.subscribe(type);
  let isHeard = false;
  void client.next('event').then(() => (isHeard = true));
  const publishOnce = () => {
    publisher.publish({ type });
    return isHeard;
  };
  await expect.poll(publishOnce, { timeout: 15_000 }).toBe(true);
}

describe(RedisRealtimeBus, () => {
  let redis: RedisServer;
  let sender: RedisRealtimeBus;
  let heard: RealtimeEvent[];

  beforeEach(async () => {
    redis = await startRedisServer();
    onTestFinished(() => redis.stop());
    sender = new RedisRealtimeBus(redis.url);
    onTestFinished(() => sender.onApplicationShutdown());
    const receiver = new RedisRealtimeBus(redis.url);
    onTestFinished(() => receiver.onApplicationShutdown());
    heard = [];
    await receiver.listen((events) => void heard.push(...events));
  });

  const idsOf = (events: readonly RealtimeEvent[]) => events.map(({ id }) => id);
  const some = (count: number) => Array.from({ length: count }, () => anyEvent({}));

  it('loses and repeats nothing, and keeps the order, when Redis hangs for a while', async () => {
    const before = some(10);
    sender.send(before);
    await expect.poll(() => heard.length).toBe(10);
    const probe = new Redis(redis.url, { commandTimeout: 4_000 });
    onTestFinished(() => probe.disconnect());
    await probe.ping();
    redis.pause();
    const meanwhile = Array.from({ length: 200 }, () => some(5));
    for (const events of meanwhile) sender.send(events);
    // This one waits longer than the sender, who has given its connection up and repeats the batch.
    await expect(probe.ping()).rejects.toThrow('timed out');
    redis.resume();
    const all = [...before, ...meanwhile.flat()];
    await expect.poll(() => heard.length, { timeout: 15_000 }).toBeGreaterThanOrEqual(all.length);
    expect(idsOf(heard)).toEqual(idsOf(all));
  });

  it('hands over what waits before it closes', async () => {
    const events = some(2_000);
    sender.send(events);
    await sender.onApplicationShutdown();
    await expect.poll(() => heard.length).toBe(2_000);
    expect(idsOf(heard)).toEqual(idsOf(events));
  });

  it('closes without Redis, and takes nothing any more', async () => {
    await redis.kill();
    sender.send(some(10));
    await sender.onApplicationShutdown();
    sender.send(some(10));
    expect(heard).toEqual([]);
  });
});

import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { Ledger } from '../support/ledger.js';
import { ProductProcess } from '../support/product-process.js';
import { type RedisServer, startRedisServer } from '../support/stores.js';
import type { WebhookReceiver } from '../support/webhook-receiver.js';
import { environment, World } from '../support/world.js';

let world: World;
let receiver: WebhookReceiver;

beforeEach(async () => {
  world = await World.create();
  receiver = await world.receiver();
});
afterEach(() => world.stop());

/** One process that publishes, another that delivers, and a Redis between them that may not respond. */
async function publisherAndWorker(redisUrl: string): Promise<ProductProcess[]> {
  const start = (roles: string) =>
    ProductProcess.start(
      environment(world.database, { LOG_LEVEL: 'log', REDIS_URL: redisUrl, ROLES: roles }),
    );
  const products = await Promise.all([start('api'), start('worker,realtime')]);
  onTestFinished(async () => {
    await Promise.all(products.map((product) => product.end('SIGKILL')));
  });
  await products[0].api.webhook(receiver.url(), ['*']);
  return products;
}

const publishMany = ({ api }: ProductProcess, ledger: Ledger, count: number): Promise<unknown> =>
  Promise.all(Array.from({ length: count }, () => ledger.publish(api)));

const IN_ORDER = { code: 0, signal: null };

describe('the product, while Redis', () => {
  it.each([
    ['dead', (server: RedisServer) => server.kill()],
    ['hung', (server: RedisServer) => Promise.resolve(server.pause())],
  ])('is %s all the time, starts, delivers and stops', async (_, fail) => {
    const away = await startRedisServer();
    onTestFinished(() => away.kill());
    await fail(away);
    const [publisher, worker] = await publisherAndWorker(away.url);
    const ledger = new Ledger('redis.absent');
    await publishMany(publisher!, ledger, 50);
    expect(ledger.refusals).toEqual([]);
    await ledger.expectAllAt(receiver);
    expect(await publisher!.end()).toEqual(IN_ORDER);
    expect(await worker!.end()).toEqual(IN_ORDER);
  });

  it('hangs at the end, stops, and pending deliveries are made later', async () => {
    const hung = await startRedisServer();
    onTestFinished(() => hung.kill());
    const [publisher, worker] = await publisherAndWorker(hung.url);
    const ledger = new Ledger('redis.hangs');
    await publishMany(publisher!, ledger, 10);
    await ledger.expectAllAt(receiver);
    hung.pause();
    await publishMany(publisher!, ledger, 10);
    const exits = await Promise.all([publisher!.end(), worker!.end()]);
    expect(exits).toEqual([IN_ORDER, IN_ORDER]);
    await world.start();
    await ledger.expectAllAt(receiver);
    expect(ledger.acknowledged.size).toBe(20);
    expect(ledger.duplicatesAt(receiver)).toEqual([]);
  });
});

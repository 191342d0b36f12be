import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Json } from '../support/api-client.js';
import { eventually } from '../support/eventually.js';
import { NameServer } from '../support/name-server.js';
import type { Reply, WebhookReceiver } from '../support/webhook-receiver.js';
import { forNewOwner, type RunningApp, World } from '../support/world.js';

let world: World;
let receiver: WebhookReceiver;

beforeAll(async () => void (world = await World.create()));
beforeEach(async () => void (receiver = await world.receiver()));
afterAll(() => world.stop());

/** Publishes in one batch, and returns the ids of the events. */
async function publish(owner: RunningApp, type: string, count: number): Promise<string[]> {
  const events = Array.from({ length: count }, () => ({ type, data: {} }));
  return (await owner.api.post('/events/batch', { events }, 202)).ids;
}

async function deliveryOf(owner: RunningApp, eventId: string): Promise<Json> {
  const { data } = await owner.api.get(`/events/${eventId}/deliveries`);
  expect(data).toHaveLength(1);
  return owner.api.get(`/deliveries/${data[0]!.id}`);
}

/** Waits until each event was delivered, and returns the deliveries with their attempts. */
const delivered = (owner: RunningApp, eventIds: string[]): Promise<Json[]> =>
  eventually(() =>
    Promise.all(
      eventIds.map(async (eventId) => {
        const delivery = await deliveryOf(owner, eventId);
        expect(delivery).toMatchObject({ status: 'success' });
        return delivery;
      }),
    ),
  );

async function circuitOf(owner: RunningApp, webhookId: string): Promise<unknown> {
  const { circuit } = await owner.api.get(`/webhooks/${webhookId}/stats`);
  return circuit;
}

const FIRST = { attemptCount: 1, attempts: [{ number: 1, statusCode: 200, error: null }] };
const EACH_FIRST = Array.from({ length: 8 }, () => FIRST);

describe('receivers that take their time', () => {
  let app: RunningApp;

  beforeAll(async () => void (app = await world.start()));
  afterAll(() => world.stopApps());

  it.each<[string, number, number]>([
    ['of one owner with many webhooks', 1, 14],
    ['of many owners with one webhook each', 14, 1],
    ['of many owners with many webhooks', 5, 6],
  ])('%s do not delay another webhook on the same host', async (_, owners, webhooks) => {
    const waiting: Parameters<Extract<Reply, (...args: never[]) => void>>[0][] = [];
    receiver.reply((response, { path }) => {
      if (path === '/fast') response.end('ok');
      else waiting.push(response);
    });
    for (let owner = 0; owner < owners; owner++) {
      const slow = forNewOwner(app);
      for (let n = 0; n < webhooks; n++)
        await slow.api.webhook(receiver.url(`/slow/${n}`), ['slow.*']);
      await publish(slow, 'slow.event', 10);
    }
    await eventually(() => expect(waiting.length).toBeGreaterThan(120));
    const fast = forNewOwner(app);
    const { id } = await fast.api.webhook(receiver.url('/fast'), ['fast.*'], { timeoutMs: 5_000 });
    expect(await delivered(fast, await publish(fast, 'fast.event', 8))).toMatchObject(EACH_FIRST);
    expect(await circuitOf(fast, id)).toMatchObject({ state: 'closed', failures: 0 });
    for (const response of waiting) response.end('ok');
  });
});

describe('names whose servers never answer', () => {
  let names: NameServer;
  let answerAll: () => void;

  beforeEach(async () => {
    const after = new Promise<void>((resolve) => (answerAll = resolve));
    names = await NameServer.start(({ name, type }) => {
      const reply = { addresses: type === 'A' ? ['127.0.0.1'] : [], ttl: 0 };
      return name.startsWith('silent') ? { ...reply, after } : reply;
    });
  });
  afterEach(async () => {
    await world.stopApps();
    await names.close();
  });

  const start = (timings = {}) => world.start({ OUTBOUND_DNS_SERVERS: names.address }, { timings });
  const urlAt = (host: string) => receiver.url(`/${host}`).replace('127.0.0.1', host);

  it.each<[string, boolean]>([
    ['another owner', false],
    ['the same owner', true],
  ])('do not delay the webhook of %s', async (_, isSameOwner) => {
    const app = await start();
    const dead = forNewOwner(app);
    for (let n = 0; n < 40; n++) {
      await dead.api.webhook(urlAt(`silent-${n}.example`), ['dead.*']);
    }
    const healthy = isSameOwner ? dead : forNewOwner(app);
    await healthy.api.webhook(urlAt('healthy.example'), ['healthy.*']);
    const lost = await publish(dead, 'dead.event', 3);
    await eventually(() => expect(names.asked('silent-39.example')).toBeGreaterThan(0));
    for (let n = 0; n < 3; n++) {
      const [delivery] = await delivered(healthy, await publish(healthy, 'healthy.event', 1));
      expect(delivery).toMatchObject(FIRST);
    }
    await eventually(async () => {
      const { data } = await dead.api.get(`/events/${lost[0]}/deliveries`);
      const { attempts } = await dead.api.get(`/deliveries/${data[0]!.id}`);
      expect(attempts[0]).toMatchObject({ number: 1, error: 'dns' });
    });
  });

  it('cost no attempt of those that wait behind them, nor a circuit', async () => {
    const app = await start({ dnsTimeoutMs: 60_000, dnsQueueMs: 100 });
    const owner = forNewOwner(app);
    for (let n = 0; n < 100; n++)
      await owner.api.webhook(urlAt(`silent-more-${n}.example`), ['dead.*']);
    await publish(owner, 'dead.event', 1);
    await eventually(() => expect(names.asked('silent-more-99.example')).toBeGreaterThan(0));
    const { id } = await owner.api.webhook(urlAt('behind.example'), ['behind.*']);
    const behind = await publish(owner, 'behind.event', 8);
    await eventually(async () => {
      expect(await deliveryOf(owner, behind[0]!)).toMatchObject({
        lastError: 'dns_busy',
        attemptCount: 0,
      });
    });
    const test = await owner.api.post(`/webhooks/${id}/test`, {}, 503);
    expect(test).toMatchObject({ code: 'dns_busy' });
    expect(names.asked('behind.example')).toBe(0);
    answerAll();
    expect(await delivered(owner, behind)).toMatchObject(EACH_FIRST);
    expect(await circuitOf(owner, id)).toMatchObject({ state: 'closed', failures: 0 });
  });

  it('do not keep an application from stopping', async () => {
    const app = await start({ dnsTimeoutMs: 600_000, dnsResendMs: 600_000, drainMs: 100 });
    const owner = forNewOwner(app);
    await owner.api.webhook(urlAt('silent.example'), ['dead.*']);
    await publish(owner, 'dead.event', 1);
    await eventually(() => expect(names.asked('silent.example')).toBe(1));
    await world.stopApps();
  });
});

describe('an idle connection that its receiver has closed', () => {
  let app: RunningApp;

  beforeAll(async () => void (app = await world.start()));
  afterAll(() => world.stopApps());

  it.each<[string, object]>([
    ['a webhook', {}],
    ['a webhook in order', { ordering: 'fifo' }],
    ['a webhook with batches', { batch: { maxEvents: 2, maxWaitMs: 10 } }],
  ])('costs %s no attempt, and the history says so', async (_, settings) => {
    const used = new WeakSet<object>();
    receiver.reply((response) => {
      const { socket } = response.req;
      if (used.has(socket)) socket.resetAndDestroy();
      else response.end('ok');
      used.add(socket);
    });
    const owner = forNewOwner(app);
    const type = `idle.${randomUUID().replaceAll('-', '')}`;
    const { id } = await owner.api.webhook(receiver.url(), [type], settings);
    await delivered(owner, await publish(owner, type, 10));
    const second = await delivered(owner, await publish(owner, type, 10));
    for (const { attemptCount } of second) expect(attemptCount).toBe(1);
    const attempts = second.flatMap((delivery) => delivery.attempts);
    expect(attempts).toHaveLength(10);
    expect(attempts).toContainEqual(
      expect.objectContaining({ number: 1, statusCode: 200, error: null, resent: true }),
    );
    expect(await circuitOf(owner, id)).toMatchObject({ state: 'closed', failures: 0 });
    const test = () => owner.api.post(`/webhooks/${id}/test`, {}, 200);
    await test();
    expect(await test()).toMatchObject({ delivered: true });
  });
});

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ConnectProxy } from '../support/connect-proxy.js';
import { eventually } from '../support/eventually.js';
import type { WebhookReceiver } from '../support/webhook-receiver.js';
import { forNewOwner, type RunningApp, World } from '../support/world.js';

let world: World;
let proxy: ConnectProxy;
let receiver: WebhookReceiver;
let app: RunningApp;

beforeAll(async () => {
  proxy = await ConnectProxy.start();
  world = await World.create();
  receiver = await world.receiver();
  app = await world.start({ OUTBOUND_PROXY: proxy.url(), BREAKER_FAILURE_THRESHOLD: '2' });
});

afterAll(async () => {
  await world.stop();
  await proxy.close();
});

describe('a status of the egress proxy', () => {
  afterEach(() => (proxy.behaviour = 'tunnel'));

  it.each([400, 404, 405, 410, 418, 451, 501, 502, 504, 300])(
    'of %i uses an attempt, so that nothing waits for ever',
    async (status) => {
      const { api } = forNewOwner(app);
      const more = { retryPolicy: { schedule: [] } };
      const own = await world.receiver();
      const webhook = await api.webhook(own.url(), ['proxied.*'], more);
      proxy.behaviour = status;
      await api.publish({ type: 'proxied.sent' });
      await eventually(async () => {
        const { data } = await api.get(`/dead-letters?webhookId=${webhook.id}`);
        expect(data).toHaveLength(1);
        expect(data[0]).toMatchObject({ lastError: 'connect', attemptCount: 1 });
      });
    },
  );

  it.each([401, 407, 429])('of %i is about this installation: no attempt', async (status) => {
    const { api } = forNewOwner(app);
    // Of its own: an open tunnel would be used again.
    const own = await world.receiver();
    const webhook = await api.webhook(own.url(), ['proxied.*']);
    proxy.behaviour = status;
    await api.publish({ type: 'proxied.sent' });
    const listed = async () => (await api.get(`/webhooks/${webhook.id}/deliveries`)).data;
    await eventually(async () => {
      const [delivery] = await listed();
      expect(delivery).toMatchObject({ lastError: 'proxy_unavailable', attemptCount: 0 });
    });
    proxy.behaviour = 'tunnel';
    await eventually(async () => {
      expect((await listed())[0]).toMatchObject({ status: 'success', attemptCount: 1 });
    });
  });
});

describe('an outage of the egress proxy', () => {
  it.each<[string, object]>([
    ['a webhook', {}],
    ['a FIFO webhook', { ordering: 'fifo' }],
    ['a webhook with batches', { batch: { maxEvents: 10, maxWaitMs: 0 } }],
  ])('is no attempt of %s, and everything is sent afterwards', async (name, more) => {
    const { api } = forNewOwner(app);
    const path = `/${name.replaceAll(' ', '-')}`;
    const webhook = await api.webhook(receiver.url(path), ['proxied.*'], more);
    const { port } = proxy;
    await proxy.close();
    for (let n = 0; n < 5; n++) await api.publish({ type: 'proxied.sent', data: { n } });
    await eventually(async () => {
      const { data } = await api.get(`/webhooks/${webhook.id}/deliveries`);
      expect(data.map((each) => [each.lastError, each.attemptCount])).toContainEqual([
        'proxy_unavailable',
        0,
      ]);
    });
    const test = await api.request('POST', `/webhooks/${webhook.id}/test`, {});
    expect(test).toMatchObject({ status: 503, body: { code: 'proxy_unavailable' } });
    proxy = await ConnectProxy.start(port);
    const received = () => receiver.of(path).flatMap(({ json }) => json as unknown);
    await eventually(() => expect(received()).toHaveLength(5));
    await eventually(async () => {
      const { data } = await api.get(`/webhooks/${webhook.id}/deliveries`);
      const ends = data.map(({ attemptCount, status }) => [attemptCount, status]);
      expect(ends).toHaveLength(5);
      expect(ends).toEqual(data.map(() => [1, 'success']));
    });
    const stats = await api.get(`/webhooks/${webhook.id}/stats`);
    expect(stats).toMatchObject({ circuit: { state: 'closed', failures: 0 } });
    if ('ordering' in more) {
      const order = receiver.of(path).map(({ json }) => (json.data as { n: number }).n);
      expect(order).toEqual([0, 1, 2, 3, 4]);
    }
  });
});

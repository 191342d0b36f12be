import { afterAll, beforeAll, describe, expect, it } from 'vitest';
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

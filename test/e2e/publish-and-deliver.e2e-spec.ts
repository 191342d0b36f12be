import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.js';
import { SocketClient } from '../support/socket-client.js';
import { redisUrl } from '../support/stores.js';
import { tokenFor } from '../support/tokens.js';
import { verify, type WebhookReceiver } from '../support/webhook-receiver.js';
import { type RunningApp, World } from '../support/world.js';

describe.each([
  ['in one process, without Redis', false],
  ['over Redis, published by one process and delivered by another', true],
])('an event published once, %s', (_, withRedis) => {
  let world: World;
  let api: RunningApp;
  /** The process with the connections: not always the one that publishes. */
  let sockets: RunningApp;
  let receiver: WebhookReceiver;

  beforeAll(async () => {
    world = await World.create();
    receiver = await world.receiver();
    const redis = { REDIS_URL: redisUrl() };
    api = await world.start(withRedis ? { ...redis, ROLES: 'api' } : {});
    sockets = withRedis ? await world.start({ ...redis, ROLES: 'worker,realtime' }) : api;
  });
  afterAll(() => world.stop());

  it('arrives signed, with the bytes and headers of the contract', async () => {
    const webhook = await api.api.webhook(receiver.url('/signed'), ['trade.*']);
    const published = await api.api.publish({
      type: 'trade.submitted',
      subject: 'AAPL',
      source: 'orders',
      data: { z: 1, a: ['é', '"', 1.5, null, { deep: true }] },
    });
    const [request] = await receiver.expectRequests(1, '/signed');
    verify(request!, webhook.secret);
    expect(request!.body).toBe(
      `{"id":"${published.id}","type":"trade.submitted","timestamp":"${published.timestamp}",` +
        `"subject":"AAPL","source":"orders","data":{"z":1,"a":["é","\\"",1.5,null,{"deep":true}]}}`,
    );
    expect(request!.headers).toMatchObject({
      'content-type': 'application/json',
      'webhook-id': published.id,
      'tidings-event-type': 'trade.submitted',
      'tidings-attempt': '1',
      'user-agent': expect.stringMatching(/^Tidings-Webhooks\/\d/),
      'tidings-delivery-id': expect.stringMatching(/^dlv_/),
    });
    const delivery = await eventually(async () => {
      const found = await api.api.get(
        `/deliveries/${String(request!.headers['tidings-delivery-id'])}`,
      );
      expect(found.status).toBe('success');
      return found;
    });
    expect(delivery).toMatchObject({
      eventId: published.id,
      webhookId: webhook.id,
      attempts: [{ number: 1, statusCode: 200, error: null, responseBody: 'ok' }],
    });
  });

  it('goes to every webhook whose pattern matches, once each, and to no other', async () => {
    const paths = { '/all': ['*'], '/prefix': ['a.*', 'a.b.*', 'a.b.c'], '/exact': ['a.b.c'] };
    for (const [path, events] of Object.entries(paths)) {
      await api.api.webhook(receiver.url(path), events);
    }
    await api.api.webhook(receiver.url('/other'), ['a', 'b.*', 'a.b']);
    await api.api.publish({ type: 'a.b.c' });
    const last = await api.api.publish({ type: 'b.last' });
    // The control: a wrong delivery would have come before this one.
    await receiver.expectRequests(1, '/other');
    for (const path of Object.keys(paths)) {
      await eventually(() =>
        expect(receiver.of(path).filter((r) => r.json.type === 'a.b.c')).toHaveLength(1),
      );
    }
    expect(receiver.of('/other').map((r) => r.json.id)).toEqual([last.id]);
  });

  it('reaches live connections with the same id and content', async () => {
    const owner = tokenFor('socket-owner');
    const webhook = await api.api.as(owner).webhook(receiver.url('/same'), ['same.*']);
    expect(webhook.ownerId).toBe('socket-owner');
    const client = await SocketClient.connect(sockets.baseUrl, { auth: { token: owner } });
    try {
      await client.subscribe('same.*');
      const published = await api.api.as(owner).publish({ type: 'same.thing', data: { n: 1 } });
      const event = await client.next('event');
      const [request] = await receiver.expectRequests(1, '/same');
      expect(event).toEqual(request!.json);
      expect(event['id']).toBe(published.id);
    } finally {
      client.close();
    }
  });

  it('is accepted as a batch in one answer, in order', async () => {
    await api.api.webhook(receiver.url('/batch'), ['batch.*']);
    const events = Array.from({ length: 250 }, (_, n) => ({ type: 'batch.item', data: { n } }));
    const answer = await api.api.post('/events/batch', { events }, 202);
    expect(answer.accepted).toBe(250);
    const requests = await receiver.expectRequests(250, '/batch');
    expect(new Set(requests.map((r) => r.json.id))).toEqual(new Set(answer.ids));
  });
});

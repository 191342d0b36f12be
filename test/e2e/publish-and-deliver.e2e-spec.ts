import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DeliveryDispatcher } from '../../src/delivery/handover/dispatcher.service.js';
import { eventually } from '../support/eventually.js';
import { SocketClient } from '../support/socket-client.js';
import { redisUrl } from '../support/stores.js';
import { tokenFor } from '../support/tokens.js';
import { WebSocketClient } from '../support/websocket-client.js';
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

  it('is handed to the worker of the same process directly, and else to the queue', () => {
    const { kind } = api.app.get(DeliveryDispatcher).handover([[]]);
    expect(kind).toBe(withRedis ? 'queue' : 'direct');
  });

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

  it('is delivered as it was written: numbers, escapes and the order of names', async () => {
    const owner = tokenFor('exact-owner');
    const publisher = api.api.as(owner);
    await publisher.webhook(receiver.url('/as-written'), ['exact.*']);
    const headers = { authorization: `Bearer ${owner}` };
    const client = await WebSocketClient.connect(sockets.baseUrl, '/ws', { headers });
    const frames: string[] = [];
    client.socket.on('message', (data: Buffer) => frames.push(data.toString()));
    await client.request('subscribe', { topics: ['exact.*'] });
    const data = '{"b":1.0,"10":[-0,1.50e+2],"2":"\\u00e9\\/","a":{}}';
    const spaced = data.replaceAll(',', ' ,\n ').replaceAll(':', ' : ');
    await publisher.post('/events', `{"type":"exact.one","data":${spaced}}`, 202);
    const events = `[{"data":${spaced},"type":"exact.two"},{"type":"exact.three","data":1.0}]`;
    await publisher.post('/events/batch', ` {"events" : ${events}}`, 202);
    const requests = await receiver.expectRequests(3, '/as-written');
    const bodies = new Map(requests.map(({ body, json }) => [json.type, body]));
    const dataOf = (type: string) => bodies.get(type)?.split(/,"data":(.*)\}$/s)[1];
    expect(dataOf('exact.one')).toBe(data);
    expect(dataOf('exact.two')).toBe(data);
    expect(dataOf('exact.three')).toBe('1.0');
    await eventually(() => {
      for (const body of bodies.values()) {
        expect(frames.some((frame) => frame.includes(body))).toBe(true);
      }
    });
    client.socket.terminate();
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

import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EventsService } from '../../src/events/events.service.js';
import { SYSTEM_EVENT_TYPES } from '../../src/shared/event-pattern.js';
import { expectProblem } from '../support/bodies.js';
import { EventStreamReader } from '../support/event-stream-reader.js';
import { SocketClient } from '../support/socket-client.js';
import { adminToken, tokenFor } from '../support/tokens.js';
import { verify, type WebhookReceiver } from '../support/webhook-receiver.js';
import { WebSocketClient } from '../support/websocket-client.js';
import { type RunningApp, World } from '../support/world.js';

let world: World;
let app: RunningApp;
let receiver: WebhookReceiver;

beforeAll(async () => {
  world = await World.create();
  receiver = await world.receiver();
  app = await world.start();
});
afterAll(() => world.stop());

const TYPES = [...SYSTEM_EVENT_TYPES, 'topic-occupied', 'topic-vacated'];

describe('a type that the system publishes about itself', () => {
  it.each(TYPES)('%s is refused from each publisher', async (type) => {
    const forged = { type, data: { forged: true } };
    const headers: Record<string, string>[] = [{}, { 'idempotency-key': randomUUID() }];
    for (const roles of [['publisher'], ['producer'], ['admin'], ['manager', 'publisher']]) {
      const api = app.api.as(tokenFor('forger', { roles }));
      for (const each of headers) {
        expectProblem(await api.request('POST', '/events', forged, each), 422, 'type');
      }
      const batch = { events: [{ type: 'a.b', data: 1 }, forged] };
      expectProblem(await api.request('POST', '/events/batch', batch), 422, 'events[1].type');
    }
    const { data } = await app.api.get(`/events?type=${type}&limit=200`);
    expect(JSON.stringify(data)).not.toContain('forged');
  });

  it.each(TYPES)('%s is refused from other modules of the process', async (type) => {
    const events = app.app.get(EventsService, { strict: false });
    const forged = { type, data: { forged: true } };
    await expect(events.publish(forged)).rejects.toMatchObject({
      kind: 'invalid',
      errors: [{ field: 'type' }],
    });
    await expect(events.publishBatch([forged])).rejects.toMatchObject({
      errors: [{ field: 'events[0].type' }],
    });
  });

  it.each(TYPES)('%s cannot be changed in the catalogue', async (name) => {
    const settings = { durable: false, schema: { type: 'null' } };
    expectProblem(await app.api.request('POST', '/event-types', { name, ...settings }), 409);
    expectProblem(await app.api.request('PUT', `/event-types/${name}`, settings), 409);
    expectProblem(await app.api.request('DELETE', `/event-types/${name}`), 409);
  });

  it('may be the beginning of another type', async () => {
    const api = app.api.as(tokenFor('publisher'));
    for (const type of ['server-status.x', 'webhook.disabled.mine', 'Server-Status', 'webhook']) {
      await api.publish({ type });
    }
  });
});

describe('what the operator receives', () => {
  const ann = () => app.api.as(tokenFor('ann'));
  const publish = async (type: string) => [
    await ann().publish({ type, data: { '10': 1.5, a: 'ü' } }),
    await app.api.publish({ type, data: [] }),
  ];

  it('over webhooks names the owner of each event, in what is signed, and the same on each attempt', async () => {
    const retryPolicy = { schedule: [10] };
    const operators = await app.api.webhook(receiver.url('/operator'), ['owner.single'], {
      retryPolicy,
    });
    await ann().webhook(receiver.url('/ann'), ['owner.single']);
    const failed = new Set<string>();
    receiver.reply((response, { path, json }) => {
      const isFirst = path === '/operator' && !failed.has(json.id);
      if (isFirst) failed.add(json.id);
      response.writeHead(isFirst ? 500 : 200).end();
    });
    const [owned, everyones] = await publish('owner.single');
    const requests = await receiver.expectRequests(4, '/operator');
    for (const request of requests) {
      verify(request, operators.secret);
      const { ownerId } = request.json as { ownerId?: string };
      expect(ownerId).toBe(request.json.id === owned!.id ? 'ann' : undefined);
    }
    for (const { id } of [owned!, everyones!]) {
      const bodies = requests.filter(({ json }) => json.id === id).map(({ body }) => body);
      expect(new Set(bodies).size).toBe(1);
    }
    const anns = await receiver.expectRequests(2, '/ann');
    for (const { json, body } of anns) {
      expect(json).not.toHaveProperty('ownerId');
      const same = requests.find((request) => request.json.id === json.id)!;
      expect(same.body.replace('"ownerId":"ann",', '')).toBe(body);
    }
  });

  it('in batches names the owner of each event', async () => {
    const { secret } = await app.api.webhook(receiver.url('/batch'), ['owner.batch'], {
      batch: { maxEvents: 2, maxWaitMs: 60_000 },
    });
    receiver.reply(200);
    await publish('owner.batch');
    const [request] = await receiver.expectRequests(1, '/batch');
    verify(request!, secret);
    const events = JSON.parse(request!.body) as { ownerId?: string }[];
    expect(events.map(({ ownerId }) => ownerId)).toEqual(['ann', undefined]);
  });

  it.each(['Socket.IO', 'WebSocket', 'event stream'])(
    'over %s names the owner, also of what was missed; an owner’s connection gets no such member',
    async (transport) => {
      const type = `owner.live-${transport.replaceAll(/\W/g, '-')}`;
      const [first] = await publish(type);
      const headers = (token: string) => ({ authorization: `Bearer ${token}` });
      const listen = async (token: string): Promise<() => Promise<object>> => {
        if (transport === 'Socket.IO') {
          const client = await SocketClient.connect(app.baseUrl, { auth: { token } });
          await client.request('subscribe', { topics: [type], after: first!.id });
          return () => client.next('event');
        }
        if (transport === 'WebSocket') {
          const options = { headers: headers(token) };
          const client = await WebSocketClient.connect(app.baseUrl, '/ws', options);
          await client.request('subscribe', { topics: [type], after: first!.id });
          return async () => (await client.next('event'))['event'] as object;
        }
        const url = `${app.baseUrl}/api/v1/events/stream?types=${type}&after=${first!.id}`;
        const reader = await EventStreamReader.open(url, headers(token));
        return async () => (await reader.next('event')).data;
      };
      const operator = await listen(adminToken());
      const owner = await listen(tokenFor('ann'));
      expect(await operator()).not.toHaveProperty('ownerId');
      expect(await owner()).not.toHaveProperty('ownerId');
      await publish(type);
      expect(await operator()).toMatchObject({ ownerId: 'ann', type });
      expect(await operator()).not.toHaveProperty('ownerId');
      expect(await owner()).not.toHaveProperty('ownerId');
    },
  );
});

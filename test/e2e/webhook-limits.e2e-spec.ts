import { DataSource } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiClient, Json } from '../support/api-client.js';
import { expectProblem } from '../support/bodies.js';
import { EventsService } from '../../src/events/events.service.js';
import { eventually } from '../support/eventually.js';
import { tokenFor } from '../support/tokens.js';
import type { WebhookReceiver } from '../support/webhook-receiver.js';
import { type RunningApp, World } from '../support/world.js';

let world: World;
let running: RunningApp;
let receiver: WebhookReceiver;

beforeAll(async () => {
  world = await World.create();
  running = await world.start({ WEBHOOKS_MAX_PER_OWNER: '20' });
  receiver = await world.receiver();
});
afterAll(() => world.stop());

const as = (owner: string): ApiClient => running.api.as(tokenFor(owner));
const EVENTS = ['limits.*'];

describe('the URL of a webhook', () => {
  it('is taken once per owner, unless more are asked for', async () => {
    const [one, other] = [as('url-one'), as('url-other')];
    const input = { url: receiver.url('/once'), events: EVENTS };
    const first = await one.post('/webhooks', input, 201);
    // The same address in another form.
    const again = { ...input, url: input.url.replace('http', 'HTTP') };
    const refused = await one.request('POST', '/webhooks', again);
    expect(expectProblem(refused, 409, 'url')).toMatchObject({ code: 'duplicate_url' });
    expect(refused.body.detail).toContain(first.id);
    await other.post('/webhooks', input, 201);
    await one.post('/webhooks', { ...input, allowDuplicateUrl: true }, 201);
  });

  it('is free again once its webhook is deleted, and stays with a webhook that is changed', async () => {
    const api = as('url-free');
    const input = { url: receiver.url('/free'), events: EVENTS };
    const first = await api.post('/webhooks', input, 201);
    await api.patch(`/webhooks/${first.id}`, { url: input.url, name: 'same' });
    const second = await api.post('/webhooks', { ...input, url: receiver.url('/busy') }, 201);
    const path = `/webhooks/${second.id}`;
    expectProblem(await api.request('PATCH', path, { url: input.url }), 409, 'url');
    expectProblem(await api.request('PATCH', path, { allowDuplicateUrl: true }), 422);
    await api.delete(`/webhooks/${first.id}`);
    expect((await api.patch(path, { url: input.url })).url).toBe(input.url);
  });

  it('is taken once by requests at the same time', async () => {
    const api = as('url-race');
    const input = { url: receiver.url('/race'), events: EVENTS };
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => api.request('POST', '/webhooks', input)),
    );
    const statuses = answers.map(({ status }) => status);
    expect(statuses.filter((status) => status === 201)).toHaveLength(1);
    expect(statuses.filter((status) => status === 409)).toHaveLength(9);
  });
});

it('an owner has a limited number of webhooks, also by requests at the same time', async () => {
  const api = as('many');
  const answers = await Promise.all(
    Array.from({ length: 25 }, (_, n) =>
      api.request('POST', '/webhooks', { url: receiver.url(`/many/${n}`), events: EVENTS }),
    ),
  );
  expect(answers.filter(({ status }) => status === 201)).toHaveLength(20);
  const refused = answers.filter(({ status }) => status !== 201);
  expect(expectProblem(refused[0]!, 429).code).toBe('too_many_webhooks');
  await as('few').post('/webhooks', { url: receiver.url('/many/0'), events: EVENTS }, 201);
  await api.delete(`/webhooks/${answers.find(({ status }) => status === 201)!.body.id}`);
  await api.webhook(receiver.url('/many/30'), EVENTS);
});

describe('test calls', () => {
  it('of one owner have a share of their own, and leave those of others alone', async () => {
    const api = as('tester');
    const slow = await world.receiver();
    slow.reply(() => undefined);
    const { id } = await api.webhook(slow.url(), EVENTS, { timeoutMs: 30_000, active: false });
    const calls = Array.from({ length: 30 }, () => api.request('POST', `/webhooks/${id}/test`));
    const refused = await Promise.race(calls);
    expect(expectProblem(refused, 429).code).toBe('too_many_tests');
    expect(refused.headers.get('retry-after')).toMatch(/^\d+$/);
    const neighbour = as('neighbour');
    const { id: other } = await neighbour.webhook(receiver.url('/test'), EVENTS);
    expect(await neighbour.post(`/webhooks/${other}/test`, undefined, 200)).toMatchObject({
      delivered: true,
    });
    await slow.close();
    const statuses = (await Promise.all(calls)).map(({ status }) => status);
    expect(statuses.filter((status) => status === 200)).toHaveLength(5);
    expect(await api.post(`/webhooks/${id}/test`, undefined, 200)).toMatchObject({
      delivered: false,
    });
  });

  it('and deliveries that lead back to the API end at the first hop', async () => {
    const api = as('looper');
    const { id } = await api.webhook(receiver.url('/loop'), EVENTS);
    const headers = { authorization: `Bearer ${tokenFor('looper')}` };
    const url = `${running.baseUrl}/%61pi/v1/webhooks/${id}/test`;
    const loop = await api.webhook(url, EVENTS, { headers });
    const { attempt } = (await api.post(
      `/webhooks/${loop.id}/test`,
      undefined,
      200,
    )) as unknown as {
      attempt: Json;
    };
    expect(attempt).toMatchObject({ statusCode: 409 });
    expect(attempt['responseBody']).toContain('delivery_loop');
    expect(receiver.of('/loop')).toEqual([]);
  });
});

it('a webhook that answered 410 says when it was switched off, until its owner switches it on', async () => {
  const api = as('gone');
  const gone = await world.receiver();
  gone.reply(410);
  const { id, updatedAt } = await api.webhook(gone.url(), EVENTS);
  await api.publish({ type: 'limits.gone' });
  const disabled = await eventually(async () => {
    const webhook = await api.get(`/webhooks/${id}`);
    expect(webhook).toMatchObject({ active: false, disabledReason: 'gone' });
    return webhook;
  });
  expect(disabled['disabledAt']).toBe(disabled['updatedAt']);
  expect(String(disabled['updatedAt']) > String(updatedAt)).toBe(true);
  expect(await api.patch(`/webhooks/${id}`, { active: true })).toMatchObject({
    disabledReason: null,
    disabledAt: null,
  });
});

it('statistics count what no worker has taken yet', async () => {
  const api = as('waiting');
  const apart = await World.create();
  const only = await apart.start({ ROLES: 'api' });
  const waiting = only.api.as(tokenFor('waiting'));
  const { id } = await waiting.webhook(receiver.url('/waiting'), EVENTS);
  const events = Array.from({ length: 50 }, () => ({ type: 'limits.waiting', data: {} }));
  await waiting.post('/events/batch', { events }, 202);
  // Those of a caller's transaction are not even matched yet.
  const inTransaction = only.app.get(EventsService, { strict: false });
  await only.app.get(DataSource).transaction(async (manager) => {
    for (const [type, ownerId] of [
      ['limits.waiting', 'waiting'],
      ['limits.other', 'waiting'],
      ['limits.waiting', undefined],
      ['other.waiting', 'waiting'],
      ['limits.waiting', 'foreign'],
    ] as const) {
      await inTransaction.publish({ type, data: {}, ...(ownerId && { ownerId }) }, { manager });
    }
  });
  expect(await waiting.get(`/webhooks/${id}/stats`)).toMatchObject({
    deliveries: 53,
    byStatus: { pending: 53 },
  });
  const worker = await apart.start({ ROLES: 'worker' });
  await receiver.expectRequests(53, '/waiting');
  await eventually(async () =>
    expect(await waiting.get(`/webhooks/${id}/stats`)).toMatchObject({
      deliveries: 53,
      byStatus: { pending: 0, delivering: 0, success: 53 },
    }),
  );
  await worker.app.close();
  await apart.stop();
  await api.get(`/webhooks/${id}/stats`, 404);
});

import { DataSource } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newId, timeOf } from '../../src/shared/ids.js';
import type { ApiClient, Json } from '../support/api-client.js';
import { everyPage, expectProblem } from '../support/bodies.js';
import { eventually } from '../support/eventually.js';
import { waitingForLocks } from '../support/locks.js';
import { ask, completed, deliveriesOf, history, type Operation } from '../support/operations.js';
import { tokenFor } from '../support/tokens.js';
import type { WebhookReceiver } from '../support/webhook-receiver.js';
import { type RunningApp, World } from '../support/world.js';

/** The circuit breaker is not the subject here; it would defer the deliveries of these tests. */
const NO_BREAKER = { BREAKER_FAILURE_THRESHOLD: '1000000' };

const ONCE = { retryPolicy: { schedule: [] } };

let world: World;
let product: RunningApp;
let admin: ApiClient;

beforeAll(async () => {
  world = await World.create();
  product = await world.start(NO_BREAKER);
  admin = product.api;
});
afterAll(() => world.stop());

let owners = 0;

/** An owner of its own, with a webhook whose receiver fails, and so many dead letters. */
async function dead(types: string[], more: object = {}) {
  const owner = `owner-${owners++}`;
  const api = admin.as(tokenFor(owner));
  const receiver = (await world.receiver()).reply(500);
  const webhook = await api.webhook(receiver.url(), ['*'], { ...ONCE, ...more });
  const events: Json[] = [];
  for (const type of types) events.push(await api.publish({ type, data: { of: type } }));
  const letters = await deliveriesOf(api, webhook.id, 'dead_letter', types.length);
  const idOf = (type: string) => letters.find((letter) => letter['eventType'] === type)!.id;
  return { owner, api, receiver, webhook, events, letters, idOf };
}

const listed = async (api: ApiClient, query: string): Promise<string[]> =>
  (await api.get(`/dead-letters?${query}`)).data
    .map((letter) => String(letter['eventType']))
    .toSorted();

describe('the list of dead letters', () => {
  it('is narrowed by webhook, type, time and reason, each and together', async () => {
    const { api, webhook, receiver, events } = await dead(['orders.paid', 'orders.sent']);
    await receiver.close();
    const later = await api.publish({ type: 'trades.done' });
    await deliveriesOf(api, webhook.id, 'dead_letter', 3);
    // The time of acceptance is the one in the id.
    const at = (event: Json) => new Date(timeOf(event.id)).toISOString();

    expect(await listed(api, '')).toEqual(['orders.paid', 'orders.sent', 'trades.done']);
    expect(await listed(api, `webhookId=${webhook.id}`)).toHaveLength(3);
    expect(await listed(api, `webhookId=${newId('wh')}`)).toEqual([]);
    expect(await listed(api, 'type=orders.*')).toEqual(['orders.paid', 'orders.sent']);
    expect(await listed(api, 'type=orders.paid')).toEqual(['orders.paid']);
    expect(await listed(api, 'reason=http')).toEqual(['orders.paid', 'orders.sent']);
    expect(await listed(api, 'reason=connect')).toEqual(['trades.done']);
    expect(await listed(api, `since=${at(later)}`)).toEqual(['trades.done']);
    expect(await listed(api, `until=${at(events[0]!)}`)).toEqual([]);
    expect(await listed(api, 'reason=connect&type=orders.*')).toEqual([]);
  });

  it('continues after its first page, with every filter', async () => {
    const { api, webhook } = await dead(['paged.one', 'paged.two', 'paged.three']);
    for (const filter of ['', '&reason=http', `&webhookId=${webhook.id}`, '&type=paged.*']) {
      const pages = await everyPage<Json>((query) => api.get(`/dead-letters?${query}${filter}`), 1);
      expect(pages, filter).toHaveLength(3);
    }
  });

  it('is narrowed to one owner by an admin, and by no other caller', async () => {
    const one = await dead(['owned.one']);
    const other = await dead(['owned.other']);
    expect(await listed(admin, `ownerId=${one.owner}`)).toEqual(['owned.one']);
    expect(await listed(one.api, `ownerId=${one.owner}`)).toEqual(['owned.one']);
    const foreign = await one.api.request('GET', `/dead-letters?ownerId=${other.owner}`);
    expectProblem(foreign, 422, 'ownerId');
  });
});

describe('a dead letter', () => {
  it('is read with its attempts and the event that would be sent', async () => {
    const { api, owner, events, idOf } = await dead(['inspected.one']);
    const letter = await api.get(`/dead-letters/${idOf('inspected.one')}`);
    expect(letter).toMatchObject({
      status: 'dead_letter',
      lastError: 'http',
      attempts: [{ number: 1, statusCode: 500 }],
      event: { id: events[0]!.id, type: 'inspected.one', data: { of: 'inspected.one' } },
    });
    for (const token of [tokenFor(owner, { topics: ['other.*'] }), tokenFor('stranger')]) {
      expectProblem(await admin.as(token).request('GET', `/dead-letters/${letter.id}`), 404);
    }
  });

  it('that is deleted is found by no redrive, and stays in the history', async () => {
    const { api, receiver, idOf } = await dead(['deleted.one', 'deleted.control']);
    const id = idOf('deleted.one');
    await api.delete(`/dead-letters/${id}`);
    expect(await listed(api, '')).toEqual(['deleted.control']);
    expect(await api.get(`/deliveries/${id}`)).toMatchObject({
      status: 'canceled',
      lastError: 'http',
      attempts: [{ number: 1 }],
    });
    for (const method of ['GET', 'DELETE']) {
      expectProblem(await api.request(method, `/dead-letters/${id}`), 404);
    }
    expectProblem(await api.request('POST', `/dead-letters/${id}/redrive`), 409);
    receiver.reply(200);
    expect(await ask(api, '/dead-letters/redrive', { all: true })).toMatchObject({ count: 1 });
    await receiver.expectRequests(3);
    expect(receiver.requests[2]!.json.type).toBe('deleted.control');
  });

  it('whose event is not kept any more is not redriven', async () => {
    const { api, events, idOf } = await dead(['dropped.one', 'dropped.control']);
    await product.app.get(DataSource).query('DELETE FROM events WHERE id = $1', [events[0]!.id]);
    const id = idOf('dropped.one');
    expect(await api.get(`/dead-letters/${id}`)).toMatchObject({ event: null });
    const refused = await api.request('POST', `/dead-letters/${id}/redrive`);
    expect(expectProblem(refused, 409).code).toBe('event_dropped');
    expect(await ask(api, '/dead-letters/redrive', { all: true })).toMatchObject({ count: 1 });
  });

  it('whose webhook was deleted is not redriven, and stays as it is', async () => {
    const { api, webhook, idOf } = await dead(['orphan.one']);
    const id = idOf('orphan.one');
    await api.delete(`/webhooks/${webhook.id}`);
    for (const path of [`/dead-letters/${id}/redrive`, `/webhooks/${webhook.id}/retry/${id}`]) {
      const refused = expectProblem(await api.request('POST', path), 409);
      expect(refused.code).toBe('webhook_deleted');
    }
    expect(await listed(api, '')).toEqual(['orphan.one']);
  });

  it('whose webhook the engine has disabled is redriven when that is active again', async () => {
    const { api, receiver, webhook, idOf } = await dead(['off.one']);
    const id = idOf('off.one');
    receiver.reply(410);
    await api.publish({ type: 'off.last' });
    await eventually(async () =>
      expect(await api.get(`/webhooks/${webhook.id}`)).toMatchObject({ disabledReason: 'gone' }),
    );
    const refused = await api.request('POST', `/dead-letters/${id}/redrive`);
    expect(expectProblem(refused, 409).code).toBe('webhook_disabled');
    receiver.reply(200);
    await api.patch(`/webhooks/${webhook.id}`, { active: true });
    await api.post(`/dead-letters/${id}/redrive`, undefined, 202);
    await deliveriesOf(api, webhook.id, 'success', 1);
  });

  it('that got another outcome while its redrive waited for the lock is not sent again', async () => {
    const { api, receiver, webhook, idOf } = await dead(['raced.one']);
    const id = idOf('raced.one');
    receiver.reply(200);
    const source = product.app.get(DataSource);
    let redrive: ReturnType<typeof api.request> | undefined;
    await source.transaction(async (tx) => {
      await tx.query(`UPDATE deliveries SET status = 'success' WHERE id = $1`, [id]);
      redrive = api.request('POST', `/dead-letters/${id}/redrive`);
      await eventually(async () => expect(await waitingForLocks(source)).toBe(1));
    });
    expect(expectProblem(await redrive!, 409).code).toBe('not_a_dead_letter');
    await deliveriesOf(api, webhook.id, 'success', 1);
    expect(receiver.requests).toHaveLength(1);
  });
});

describe('a redrive of many', () => {
  const TYPES = ['a.one', 'a.two', 'b.one', 'b.two', 'b.three'];

  it.each([
    ['a type', { type: 'a.one' }, ['a.one']],
    ['a pattern', { type: 'b.*' }, ['b.one', 'b.three', 'b.two']],
    ['a reason', { reason: 'http' }, TYPES.toSorted()],
    ['another reason', { reason: 'timeout' }, []],
    ['a time that is past', { until: '2020-01-01T00:00:00Z' }, []],
    ['a time until now', { since: '2020-01-01T00:00:00Z', type: 'a.*' }, ['a.one', 'a.two']],
    ['everything', { all: true }, TYPES.toSorted()],
  ])('by %s counts and sends exactly those', async (_, filter, expected) => {
    const { api, receiver, webhook } = await dead(TYPES);
    receiver.reply(200);
    const asked = await ask(api, '/dead-letters/redrive', filter);
    expect(asked).toMatchObject({ kind: 'redrive', count: expected.length });
    expect(await completed(api, asked.id)).toMatchObject({ done: expected.length, skipped: 0 });
    await deliveriesOf(api, webhook.id, 'success', expected.length);
    const sent = receiver.requests.slice(TYPES.length).map((request) => request.json.type);
    expect(sent.toSorted()).toEqual(expected);
    await deliveriesOf(api, webhook.id, 'dead_letter', TYPES.length - expected.length);
  });

  it('by id counts those that are dead letters, and names ids that do not exist', async () => {
    const { api, receiver, idOf } = await dead(TYPES);
    const foreign = await dead(['foreign.one']);
    for (const stranger of [foreign.idOf('foreign.one'), newId('dlv')]) {
      const ids = [idOf('a.one'), stranger];
      expectProblem(await api.request('POST', '/dead-letters/redrive', { ids }), 404, 'ids[1]');
    }
    receiver.reply(200);
    await api.post(`/dead-letters/${idOf('a.one')}/redrive`, undefined, 202);
    await eventually(async () => expect(await listed(api, 'type=a.one')).toEqual([]));
    const ids = [idOf('a.one'), idOf('a.two'), idOf('a.two'), idOf('b.one')];
    expect(await ask(api, '/dead-letters/redrive', { ids })).toMatchObject({ count: 2 });
    await receiver.expectRequests(TYPES.length + 3);
    expect(await listed(foreign.api, '')).toEqual(['foreign.one']);
  });

  it.each([
    ['nothing', {}, 'all'],
    ['all: false', { all: false }, 'all'],
    ['all and a filter', { all: true, reason: 'http' }, 'all'],
    ['ids and a filter', { ids: [newId('dlv')], type: 'a.*' }, 'ids'],
    ['no ids', { ids: [] }, 'ids'],
    ['another id', { ids: [newId('evt')] }, 'ids[0]'],
    ['too many ids', { ids: Array.from({ length: 1_001 }, () => newId('dlv')) }, 'ids'],
    ['a bad pattern', { type: 'a*' }, 'type'],
    ['a bad time', { since: 'yesterday' }, 'since'],
    ['a bad reason', { reason: 'a b' }, 'reason'],
    ['a bad webhook', { webhookId: 'x' }, 'webhookId'],
    ['another owner', { ownerId: 'another-owner' }, 'ownerId'],
    ['something else', { everything: true }, 'everything'],
  ])('that asks for %s is refused with the field', async (_, body, field) => {
    const { api } = await dead([]);
    expectProblem(await api.request('POST', '/dead-letters/redrive', body), 422, field);
  });

  it('affects no other owner, who does not see the operation either', async () => {
    const one = await dead(['mine.one']);
    const other = await dead(['yours.one']);
    const asked = await ask(one.api, '/dead-letters/redrive', { all: true });
    expect(asked.count).toBe(1);
    expect(await listed(other.api, '')).toEqual(['yours.one']);
    for (const method of ['GET', 'DELETE']) {
      expectProblem(await other.api.request(method, `/operations/${asked.id}`), 404);
    }
    expect((await other.api.get('/operations')).data).toEqual([]);
    expect((await one.api.get('/operations')).data).toMatchObject([{ id: asked.id }]);
    const foreign = { webhookId: other.webhook.id };
    expectProblem(await one.api.request('POST', '/dead-letters/redrive', foreign), 404);
    const narrowed = await ask(admin, '/dead-letters/redrive', { ownerId: other.owner });
    expect(narrowed.count).toBe(1);
  });

  it('leaves out deliveries whose webhook is deleted', async () => {
    const { api, webhook } = await dead(['gone.one', 'gone.two']);
    await api.delete(`/webhooks/${webhook.id}`);
    expect(await ask(api, '/dead-letters/redrive', { all: true })).toMatchObject({ count: 0 });
  });
});

describe('without a worker,', () => {
  let idle: World;
  let api: ApiClient;
  let webhook: Json;
  let receiver: WebhookReceiver;
  const COUNT = 20;

  beforeAll(async () => {
    idle = await World.create();
    receiver = (await idle.receiver()).reply(500);
    const { app, api: first } = await idle.start(NO_BREAKER);
    webhook = await first.webhook(receiver.url(), ['idle.*'], ONCE);
    for (const type of ['idle.one', 'idle.two']) {
      await history(app.get(DataSource), { webhookId: webhook.id, type, count: COUNT / 2 });
    }
    await app.close();
    ({ api } = await idle.start({ ...NO_BREAKER, ROLES: 'api' }));
  });
  afterAll(() => idle.stop());

  it('the same request twice counts everything once, and so do two that overlap', async () => {
    const counts = async (...filters: object[]) =>
      (await Promise.all(filters.map((filter) => ask(api, '/dead-letters/redrive', filter)))).map(
        ({ count }) => count,
      );
    expect(await counts({ type: 'idle.one' })).toEqual([COUNT / 2]);
    expect(await counts({ type: 'idle.one' })).toEqual([0]);
    const both = await counts({ all: true }, { webhookId: webhook.id });
    expect(both.toSorted((a, b) => a - b)).toEqual([0, COUNT / 2]);
  });

  it('one key is one operation, and another request under it a conflict', async () => {
    const path = '/dead-letters/redrive';
    const key = { 'idempotency-key': 'once' };
    const [one, two] = await Promise.all([
      ask(api, path, { all: true }, key),
      ask(api, path, { all: true }, key),
    ]);
    expect(two).toEqual(one);
    const answer = await api.request('POST', path, { type: 'x' }, key);
    expect(expectProblem(answer, 409, 'Idempotency-Key').code).toBe('idempotency_key_reused');
    const stranger = api.as(tokenFor('stranger'));
    expect((await ask(stranger, path, { all: true }, key)).id).not.toBe(one.id);
  });

  it('a canceled operation leaves everything as it was, for another one', async () => {
    const running = (await api.get('/operations?status=running&limit=200')).data;
    expect(running).not.toEqual([]);
    for (const { id } of running) {
      await api.delete(`/operations/${id}`);
      expect(await api.get(`/operations/${id}`)).toMatchObject({ status: 'canceled', done: 0 });
      await api.delete(`/operations/${id}`);
    }
    await deliveriesOf(api, webhook.id, 'dead_letter', COUNT);
    expect(await ask(api, '/dead-letters/redrive', { all: true })).toMatchObject({ count: COUNT });
    const { app } = await idle.start({ ...NO_BREAKER, ROLES: 'worker' });
    await receiver.expectRequests(COUNT);
    await app.close();
  });
});

describe('a redrive of thousands', { timeout: 150_000 }, () => {
  const COUNT = 2_000;
  const MAX_OPEN = 100;
  const TIMEOUT_MS = 100_000;
  const env = { ...NO_BREAKER, DELIVERY_REDRIVE_MAX_OPEN: String(MAX_OPEN) };
  const retryPolicy = { baseMs: 200, factor: 1, maxMs: 200, maxAttempts: 100 };

  it('spares a receiver that is down, survives its node, and is completed', async (context) => {
    const site = await World.create();
    context.onTestFinished(() => site.stop());
    const receiver = (await site.receiver()).reply(500);
    const { api } = await site.start({ ...env, ROLES: 'api' });
    const first = (await site.start({ ...env, ROLES: 'worker' })).app;
    const webhook = await api.webhook(receiver.url(), ['mass.*'], { retryPolicy });
    const past = { webhookId: webhook.id, type: 'mass.one', count: COUNT };
    const eventIds = await history(first.get(DataSource), past);

    const { id, count } = await ask(api, '/dead-letters/redrive', { all: true });
    expect(count).toBe(COUNT);
    const progress = () => api.get(`/operations/${id}`) as unknown as Promise<Operation>;
    // Some of the open ones have failed several times, and no others were sent.
    await eventually(() => expect(receiver.requests.length).toBeGreaterThan(3 * MAX_OPEN));
    expect(await progress()).toMatchObject({ status: 'running', done: MAX_OPEN });
    expect(new Set(receiver.requests.map((r) => r.json.id))).toEqual(
      new Set(eventIds.slice(0, MAX_OPEN)),
    );

    receiver.reply(200);
    await eventually(async () => expect((await progress()).done).toBeGreaterThan(2 * MAX_OPEN));
    await first.close();
    expect(await progress()).toMatchObject({ status: 'running', skipped: 0 });
    await site.start({ ...env, ROLES: 'worker' });
    expect(await completed(api, id, TIMEOUT_MS)).toMatchObject({ done: COUNT, skipped: 0 });
    await deliveriesOf(api, webhook.id, 'success', COUNT, TIMEOUT_MS);
    expect(new Set(receiver.requests.map((r) => r.json.id))).toEqual(new Set(eventIds));
  });
});

import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiClient, Json } from '../support/api-client.js';
import { eventually } from '../support/eventually.js';
import { tokenFor } from '../support/tokens.js';
import type { WebhookReceiver } from '../support/webhook-receiver.js';
import { type RunningApp, World } from '../support/world.js';

let world: World;
let first: RunningApp;
let second: RunningApp;
let receiver: WebhookReceiver;

beforeAll(async () => {
  world = await World.create();
  [first, second] = [await world.start(), await world.start()];
  receiver = await world.receiver();
  await first.api.webhook(receiver.url(), ['*']);
});
afterAll(() => world.stop());

const keyed = (api: ApiClient, key: string, event: object): Promise<Json> =>
  api.publish(event, { 'idempotency-key': key });

/** What arrived of this type: so many, and what a second delivery would have added by now. */
async function arrived(type: string, count = 1): Promise<string[]> {
  const received = () =>
    receiver.requests.filter((r) => r.json.type === type).map((r) => r.json.id);
  await eventually(() => expect(received().length).toBeGreaterThanOrEqual(count));
  const { id } = await first.api.publish({ type: 'control.last' });
  await eventually(() => expect(receiver.requests.map((r) => r.json.id)).toContain(id));
  return received();
}

describe('the same request under one key', () => {
  it.each([
    ['one process', () => [first]],
    ['two processes', () => [first, second]],
  ])('is one event, however often it is made at once to %s', async (_, processes) => {
    const apis = processes();
    const key = randomUUID();
    const type = `parallel.${apis.length}`;
    const event = { type, subject: 'AAPL', data: { n: 1, deep: [{ a: null }] } };
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, n) => keyed(apis[n % apis.length]!.api, key, event)),
    );
    const [{ id, timestamp }] = answers as [Json];
    for (const answer of answers) expect(answer).toMatchObject({ id, type, timestamp });
    expect(answers.filter((answer) => !answer.duplicate)).toHaveLength(1);
    expect((await first.api.get(`/events?type=${type}`)).data.map((e) => e.id)).toEqual([id]);
    expect(await arrived(type)).toEqual([id]);
  });

  it('is one batch', async () => {
    const key = randomUUID();
    const events = Array.from({ length: 20 }, (_, n) => ({ type: 'parallel.batch', data: { n } }));
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, n) =>
        [first, second][n % 2]!.api.post('/events/batch', { events }, 202, {
          'idempotency-key': key,
        }),
      ),
    );
    for (const { ids, accepted } of answers) {
      expect(ids).toEqual(answers[0]!.ids);
      expect(accepted).toBe(20);
    }
    expect(answers.filter((answer) => !answer.duplicate)).toHaveLength(1);
    expect((await arrived('parallel.batch', 20)).sort()).toEqual([...answers[0]!.ids].sort());
  });

  it('is answered as before after a restart, by any process', async () => {
    const key = randomUUID();
    const event = { type: 'restarted.once', data: [1, 2] };
    const before = await keyed(second.api, key, event);
    await second.app.close();
    second = await world.start();
    expect(await keyed(second.api, key, event)).toEqual({ ...before, duplicate: true });
    expect(await keyed(first.api, key, event)).toEqual({ ...before, duplicate: true });
    expect(await arrived('restarted.once')).toEqual([before.id]);
  });

  it('is several events for several owners', async () => {
    const key = randomUUID();
    const owners = ['alice', 'bob', 'alice'].map((owner) => first.api.as(tokenFor(owner)));
    const answers = [];
    for (const api of owners) answers.push(await keyed(api, key, { type: 'owned.thing' }));
    expect(answers.map((answer) => answer.duplicate)).toEqual([false, false, true]);
    expect(answers[2]!.id).toBe(answers[0]!.id);
    expect(answers[1]!.id).not.toBe(answers[0]!.id);
  });

  it('without a key is a new event each time', async () => {
    const answers = [];
    for (let n = 0; n < 2; n++) answers.push(await first.api.publish({ type: 'keyless.thing' }));
    expect(answers.map((answer) => answer.duplicate)).toEqual([false, false]);
    const ids = answers.map((answer) => answer.id);
    expect((await arrived('keyless.thing', 2)).sort()).toEqual([...ids].sort());
  });

  it('is free again after a request that was refused', async () => {
    const headers = { 'idempotency-key': randomUUID() };
    await first.api.post('/events', { type: 'refused.thing' }, 422, headers);
    const { duplicate } = await first.api.publish({ type: 'refused.thing', data: 1 }, headers);
    expect(duplicate).toBe(false);
  });
});

describe('another request under the same key', () => {
  const one = { type: 'reused.key', data: { n: 1 } };

  it.each<[string, string, object]>([
    ['other data', '/events', { ...one, data: { n: 2 } }],
    ['another subject', '/events', { ...one, subject: 'AAPL' }],
    ['a batch', '/events/batch', { events: [one, one] }],
  ])('is refused: %s', async (_, path, request) => {
    const headers = { 'idempotency-key': randomUUID() };
    const { id } = await first.api.publish(one, headers);
    for (const { api } of [first, second]) {
      expect(await api.post(path, request, 409, headers)).toMatchObject({
        status: 409,
        code: 'idempotency_key_reused',
        errors: [{ field: 'Idempotency-Key' }],
      });
    }
    // And changes nothing: the first request is answered as before.
    expect(await first.api.publish(one, headers)).toMatchObject({ id, duplicate: true });
  });

  it('loses against the first when both are made at once', async () => {
    const headers = { 'idempotency-key': randomUUID() };
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        [first, second][n % 2]!.api.request(
          'POST',
          '/events',
          { ...one, type: 'raced.key', data: n % 4 < 2 },
          headers,
        ),
      ),
    );
    const accepted = answers.filter(({ status }) => status === 202);
    expect(accepted).toHaveLength(10);
    expect(answers.filter(({ status }) => status === 409)).toHaveLength(10);
    expect(new Set(accepted.map(({ body }) => body.id)).size).toBe(1);
    expect(accepted.filter(({ body }) => !body.duplicate)).toHaveLength(1);
    expect(await arrived('raced.key')).toEqual([accepted[0]!.body.id]);
  });
});

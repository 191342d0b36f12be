import { DataSource } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newId, timeOf } from '../../src/shared/ids.js';
import { deliveryId } from '../../src/delivery/delivery-id.js';
import type { ApiClient, Json } from '../support/api-client.js';
import { expectProblem } from '../support/bodies.js';
import { ask, completed, deliveriesOf } from '../support/operations.js';
import { tokenFor } from '../support/tokens.js';
import { verify } from '../support/webhook-receiver.js';
import { type RunningApp, World } from '../support/world.js';

const ONCE = { retryPolicy: { schedule: [] } };
const EVER = '2020-01-01T00:00:00Z';

let world: World;
let product: RunningApp;

beforeAll(async () => {
  world = await World.create();
  product = await world.start();
});
afterAll(() => world.stop());

let owners = 0;
const newOwner = (): ApiClient => product.api.as(tokenFor(`replayer-${owners++}`));

/** A new owner, with a webhook that has received these events. */
async function past(types: string[]) {
  const api = newOwner();
  const receiver = await world.receiver();
  const webhook = await api.webhook(receiver.url(), types.length > 0 ? types : ['none'], ONCE);
  const events: Json[] = [];
  for (const type of types) events.push(await api.publish({ type, data: { type, é: 1.5 } }));
  await deliveriesOf(api, webhook.id, 'success', types.length);
  return { api, receiver, webhook, events, path: `/webhooks/${webhook.id}/replay` };
}

const at = (event: Json, addMs = 0): string => new Date(timeOf(event.id) + addMs).toISOString();

describe('a replay of a range of time', () => {
  it('sends the same ids and bytes again, newly signed, oldest first', async () => {
    const { api, receiver, webhook, events, path } = await past(['range.one', 'range.two']);
    const firsts = [...receiver.requests];
    const asked = await ask(api, path, { since: EVER });
    expect(asked).toMatchObject({ kind: 'webhook_replay', count: 2 });
    const requests = await receiver.expectRequests(4);
    for (const [index, event] of events.entries()) {
      const first = firsts.find(({ json }) => json.id === event.id)!;
      const again = requests.slice(2).find(({ json }) => json.id === event.id)!;
      expect(again.body, `event ${index}`).toBe(first.body);
      expect(again.headers).toMatchObject({
        'webhook-id': event.id,
        'tidings-delivery-id': first.headers['tidings-delivery-id'],
        'tidings-attempt': '2',
      });
      verify(again, webhook.secret);
    }
    expect(await completed(api, asked.id)).toMatchObject({ done: 2, skipped: 0 });
    const [delivery] = await deliveriesOf(api, webhook.id, 'success', 2);
    expect(delivery).toMatchObject({ attemptCount: 2 });
    expect((await api.get(`/deliveries/${delivery!.id}`)).attempts).toMatchObject([
      { number: 1, statusCode: 200 },
      { number: 2, statusCode: 200 },
    ]);
  });

  it.each([
    ['everything', () => ({}), 3],
    ['one type', () => ({ types: ['kinds.one'] }), 1],
    ['a type and a pattern', () => ({ types: ['kinds.one', 'others.*'] }), 2],
    ['types that never occurred', () => ({ types: ['nothing.*'] }), 0],
    ['the succeeded', () => ({ status: 'success' }), 3],
    ['the dead letters', () => ({ status: 'dead_letter' }), 0],
    ['a range that begins later', (events: Json[]) => ({ since: at(events[2]!, 1) }), 0],
    ['a range that ends before', (events: Json[]) => ({ until: at(events[0]!) }), 0],
    ['a range that holds one', (events: Json[]) => ({ until: at(events[0]!, 1) }), 1],
  ])('of %s counts exactly that', async (_, filter, count) => {
    const { api, receiver, events, path } = await past(['kinds.one', 'kinds.two', 'others.one']);
    const asked = await ask(api, path, { since: EVER, ...filter(events) });
    expect(asked.count).toBe(count);
    await completed(api, asked.id);
    await receiver.expectRequests(3 + count);
  });

  it('sends events that match now and were never sent, with the delivery id that they would have had', async () => {
    const { api, events } = await past(['missed.one', 'missed.two', 'unmatched.one']);
    const late = await world.receiver();
    const webhook = await api.webhook(late.url(), ['missed.*'], ONCE);
    const asked = await ask(api, `/webhooks/${webhook.id}/replay`, { since: EVER });
    expect(asked.count).toBe(2);
    const requests = await late.expectRequests(2);
    expect(new Set(requests.map(({ json }) => json.id))).toEqual(
      new Set(events.slice(0, 2).map(({ id }) => id)),
    );
    for (const { headers } of requests) {
      expect(headers['tidings-attempt']).toBe('1');
      expect(headers['tidings-delivery-id']).toBe(
        deliveryId(String(headers['webhook-id']), webhook.id),
      );
    }
    await deliveriesOf(api, webhook.id, 'success', 2);
  });

  it('by state leaves out events without a delivery', async () => {
    const { api } = await past(['stateful.one']);
    const webhook = await api.webhook((await world.receiver()).url(), ['stateful.*'], ONCE);
    const path = `/webhooks/${webhook.id}/replay`;
    expect(await ask(api, path, { since: EVER, status: 'success' })).toMatchObject({ count: 0 });
    expect(await ask(api, path, { since: EVER })).toMatchObject({ count: 1 });
  });

  it('leaves out deliveries that are not final', async () => {
    const api = newOwner();
    const receiver = (await world.receiver()).reply(500);
    const retryPolicy = { schedule: [600_000] };
    const webhook = await api.webhook(receiver.url(), ['way.*'], { retryPolicy });
    await api.publish({ type: 'way.one' });
    await deliveriesOf(api, webhook.id, 'retrying', 1);
    const path = `/webhooks/${webhook.id}/replay`;
    expect(await ask(api, path, { since: EVER })).toMatchObject({ count: 0 });
    receiver.reply(200);
    expect(await ask(api, path, { since: EVER, status: 'retrying' })).toMatchObject({ count: 1 });
    await deliveriesOf(api, webhook.id, 'success', 1);
  });

  it('leaves out events that retention has dropped or that have expired', async () => {
    const { api, events, path } = await past(['kept.one', 'dropped.one', 'expired.one']);
    const store = product.app.get(DataSource);
    await store.query('DELETE FROM events WHERE id = $1', [events[1]!.id]);
    await store.query('UPDATE events SET expires_at = now() WHERE id = $1', [events[2]!.id]);
    expect(await ask(api, path, { since: EVER })).toMatchObject({ count: 1 });
    for (const [event, status, count] of [
      [events[0]!, 202, 1],
      [events[1]!, 404, undefined],
      [events[2]!, 202, 0],
    ] as const) {
      const answer = await api.request('POST', `/events/${event.id}/replay`);
      expect(answer.status).toBe(status);
      if (event !== events[0]) expect(answer.body['count']).toBe(count);
    }
  });

  it('never sends the events of one owner to another', async () => {
    const { events } = await past(['private.one']);
    const unowned = await product.api.publish({ type: 'private.public' });
    const other = newOwner();
    const receiver = await world.receiver();
    const webhook = await other.webhook(receiver.url(), ['private.*'], ONCE);
    const asked = await ask(other, `/webhooks/${webhook.id}/replay`, { since: EVER });
    expect(asked.count).toBe(1);
    expect((await receiver.expectRequests(1))[0]!.json.id).toBe(unowned.id);
    const answer = await other.request('POST', `/events/${events[0]!.id}/replay`);
    expectProblem(answer, 404);
    // Also not when an admin names an event of the one and a webhook of the other.
    const mixed = { webhookIds: [webhook.id] };
    const path = `/events/${events[0]!.id}/replay`;
    expect(await ask(product.api, path, mixed)).toMatchObject({ count: 0 });
  });

  it('waits for a webhook that a user has paused, and is refused for a disabled one', async () => {
    const { api, receiver, webhook, path } = await past(['off.one']);
    await api.patch(`/webhooks/${webhook.id}`, { active: false });
    expect(await ask(api, path, { since: EVER })).toMatchObject({ count: 1 });
    await deliveriesOf(api, webhook.id, 'pending', 1);
    await api.patch(`/webhooks/${webhook.id}`, { active: true });
    await receiver.expectRequests(2);
    await deliveriesOf(api, webhook.id, 'success', 1);

    receiver.reply(410);
    await ask(api, path, { since: EVER });
    await deliveriesOf(api, webhook.id, 'dead_letter', 1);
    const refused = await api.request('POST', path, { since: EVER });
    expect(expectProblem(refused, 409).code).toBe('webhook_disabled');
    await api.delete(`/webhooks/${webhook.id}`);
    expectProblem(await api.request('POST', path, { since: EVER }), 404);
  });

  it.each([
    ['nothing', {}, 'since'],
    ['a bad time', { since: 1 }, 'since'],
    ['a range that ends before it begins', { since: EVER, until: '2019-01-01T00:00:00Z' }, 'until'],
    ['no types', { since: EVER, types: [] }, 'types'],
    ['a bad type', { since: EVER, types: ['ok', 'a*'] }, 'types[1]'],
    ['pending deliveries', { since: EVER, status: 'pending' }, 'status'],
    ['something else', { since: EVER, type: 'a' }, 'type'],
  ])('of %s is refused with the field', async (_, body, field) => {
    const { api, path } = await past([]);
    expectProblem(await api.request('POST', path, body), 422, field);
  });
});

describe('a replay of one event', () => {
  it('goes to those that match now and to those that had it', async () => {
    const { api, receiver: had, webhook, events } = await past(['one.event']);
    await api.patch(`/webhooks/${webhook.id}`, { events: ['nothing.else'] });
    const [now, never] = [await world.receiver(), await world.receiver()];
    await api.webhook(now.url(), ['one.*'], ONCE);
    await api.webhook(never.url(), ['two.*'], ONCE);
    const path = `/events/${events[0]!.id}/replay`;
    expect(await ask(api, path, {})).toMatchObject({ kind: 'event_replay', count: 2 });
    await had.expectRequests(2);
    await now.expectRequests(1);
    expect(now.requests[0]!.body).toBe(had.requests[0]!.body);
    expect(never.requests).toEqual([]);
  });

  it('can be narrowed to some of them, by ids that exist', async () => {
    const { api, receiver: first, events } = await past(['narrow.event']);
    const second = await world.receiver();
    const webhook = await api.webhook(second.url(), ['narrow.*'], ONCE);
    const other = await api.webhook(second.url('/other'), ['other.*'], ONCE);
    const path = `/events/${events[0]!.id}/replay`;
    const webhookIds = [webhook.id, other.id];
    expect(await ask(api, path, { webhookIds })).toMatchObject({ count: 1 });
    await second.expectRequests(1);
    expect(first.requests).toHaveLength(1);
    for (const [ids, status, field] of [
      [[newId('wh')], 404, undefined],
      [[], 422, 'webhookIds'],
      [['x'], 422, 'webhookIds[0]'],
    ] as const) {
      expectProblem(await api.request('POST', path, { webhookIds: ids }), status, field);
    }
  });

  it('that is requested twice at the same time is sent once, and can be requested again later', async () => {
    const { api, receiver, webhook, events } = await past(['twice.event']);
    const path = `/events/${events[0]!.id}/replay`;
    const key = { 'idempotency-key': 'twice' };
    const [one, two] = await Promise.all([ask(api, path, {}, key), ask(api, path, {}, key)]);
    expect(two.id).toBe(one.id);
    await receiver.expectRequests(2);
    await deliveriesOf(api, webhook.id, 'success', 1);
    expect(await ask(api, path, {})).toMatchObject({ count: 1 });
    await receiver.expectRequests(3);
  });
});

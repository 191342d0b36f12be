import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { newId } from '../../src/shared/ids.js';
import { deliveryId } from '../../src/delivery/delivery-id.js';
import { DeferredDeliveriesStore } from '../../src/delivery/deferred/deferred.store.js';
import { ExclusiveWebhooksStore } from '../../src/delivery/exclusive/exclusive-webhooks.store.js';
import { DeliveryRows } from '../support/delivery-rows.js';

const LEASE_MS = 60_000;

let rows: DeliveryRows;
let lanes: ExclusiveWebhooksStore;
let held: DeferredDeliveriesStore;

beforeEach(async () => {
  rows = await DeliveryRows.create();
  lanes = new ExclusiveWebhooksStore(rows.postgres);
  held = new DeferredDeliveriesStore(rows.postgres);
});
afterEach(() => rows.drop());

const endLeases = () => rows.query(`UPDATE webhook_leases SET until = now() - interval '1 s'`);

/** A held delivery of a new event, and the id of that event. */
async function hold(webhookId: string, more: Record<string, unknown> = {}): Promise<string> {
  const eventId = newId('evt');
  const columns = {
    not_before: null,
    lost_leases: 0,
    batch_id: null,
    due_at: null,
    priority: 1,
    ...more,
  };
  await rows.query(
    `INSERT INTO deliveries (id, event_id, webhook_id, event_type, status, attempts, not_before,
                             lost_leases, batch_id, due_at, priority)
     VALUES ($1, $2, $3, 'held.event', 'pending', 0, $4, $5, $6, $7, $8)`,
    [
      deliveryId(eventId, webhookId),
      eventId,
      webhookId,
      columns.not_before,
      columns.lost_leases,
      columns.batch_id,
      columns.due_at,
      columns.priority,
    ],
  );
  await rows.query(
    `INSERT INTO events (id, type, body, priority) VALUES ($1, 'held.event', '{}', 1)`,
    [eventId],
  );
  return eventId;
}

const take = (webhookId: string, more: object = {}) => ({
  webhookId,
  token: randomUUID(),
  leaseMs: LEASE_MS,
  limit: 100,
  selection: { kind: 'urgent' as const, aged: 0 },
  ...more,
});

describe('the lanes', () => {
  it('are held by one process each, however many reach for them', async () => {
    const ids = Array.from({ length: 20 }, () => newId('wh'));
    const takers = ['a', 'b', 'c', 'd'];
    const taken = await Promise.all(
      takers.map((holder) => lanes.take(holder, [...ids].reverse(), LEASE_MS, 8)),
    );
    const all = taken.flat().map(({ webhookId }) => webhookId);
    expect(new Set(all).size).toBe(all.length);
    for (const own of taken) expect(own.length).toBeLessThanOrEqual(8);
    await lanes.take('e', ids, LEASE_MS, 20);
    expect(await lanes.take('f', ids, LEASE_MS, 20)).toEqual([]);
  });

  it('are free when their lease has ended, and then its old holder cannot renew them', async () => {
    const id = newId('wh');
    await lanes.take('a', [id], LEASE_MS, 1);
    expect(await lanes.take('b', [id], LEASE_MS, 1)).toEqual([]);
    await endLeases();
    expect(await lanes.take('b', [id], LEASE_MS, 1)).toMatchObject([{ webhookId: id }]);
    expect((await lanes.renew('a', [id], LEASE_MS)).kept).toEqual([]);
    expect((await lanes.renew('b', [id], LEASE_MS)).kept).toEqual([id]);
  });

  it('are renewed late, too, if nobody has taken them', async () => {
    const id = newId('wh');
    await lanes.take('a', [id], LEASE_MS, 1);
    await endLeases();
    expect((await lanes.renew('a', [id], LEASE_MS)).kept).toEqual([id]);
    expect(await lanes.take('b', [id], LEASE_MS, 1)).toEqual([]);
  });

  it('hand over what was sent lately, with its age', async () => {
    const id = newId('wh');
    await lanes.take('a', [id], LEASE_MS, 1);
    await lanes.release('a', id, { agesMs: [5, 100], reserved: 1 });
    await rows.query(`UPDATE webhook_leases SET state_at = now() - interval '2 s'`);
    const [got] = await lanes.take('b', [id], LEASE_MS, 1);
    expect(got!.state).toEqual({ agesMs: [5, 100], reserved: 1 });
    expect(got!.elapsedMs).toBeGreaterThanOrEqual(2_000);
  });

  it('count the leases of all nodes', async () => {
    expect(await lanes.renew('b', [], LEASE_MS)).toMatchObject({ owned: 0 });
    await lanes.take('a', [newId('wh'), newId('wh')], LEASE_MS, 2);
    expect(await lanes.renew('b', [], LEASE_MS)).toMatchObject({ owned: 2 });
  });
});

describe('held deliveries', () => {
  it('are found per webhook, however many each has', async () => {
    const [a, b] = [newId('wh'), newId('wh')].sort();
    for (let n = 0; n < 5; n++) await hold(a!);
    await hold(b!);
    await hold(newId('wh'), { due_at: new Date() });
    expect(await held.webhooks()).toEqual([a, b]);
  });

  it('are pulled in the order of their events, those that may go, and once', async () => {
    const id = newId('wh');
    const ids = [await hold(id), await hold(id), await hold(id)];
    const later = await hold(id, { not_before: new Date(Date.now() + 60_000) });
    const [first, second] = await Promise.all([
      held.pull(take(id, { limit: 2 })),
      held.pull(take(id, { limit: 2 })),
    ]);
    expect([...first, ...second].map(({ eventId }) => eventId).sort()).toEqual(ids);
    const { heads } = await held.headsInOrder(id, 10);
    expect(heads.map(({ eventId }) => eventId)).toEqual([later]);
    expect(heads[0]!.readyInMs).toBeGreaterThan(50_000);
    expect(await held.headsByPriority(id, 10, 0)).toEqual([]);
  });

  it('are pulled by priority, and of the others as many of the oldest as are asked for', async () => {
    const id = newId('wh');
    const ids: string[] = [];
    for (const priority of [2, 2, 2, 1, 1, 0, 0]) ids.push(await hold(id, { priority }));
    const pull = async (limit: number, aged: number) =>
      (await held.pull(take(id, { limit, selection: { kind: 'urgent', aged } }))).map((d) =>
        ids.indexOf(d.eventId),
      );
    const heads = await held.headsByPriority(id, 5, 1);
    expect(heads.map(({ eventId }) => ids.indexOf(eventId))).toEqual([0, 5, 6, 3, 4]);
    expect(await pull(3, 1)).toEqual([0, 5, 6]);
    expect(await pull(1, 0)).toEqual([3]);
    expect(await pull(1, 1)).toEqual([1]);
    expect(await pull(9, 9)).toEqual([2, 4]);
  });

  it('are pulled in the order of their events, whatever their priority, where that counts', async () => {
    const id = newId('wh');
    const ids: string[] = [];
    for (const priority of [1, 2, 0, 2, 1, 0]) ids.push(await hold(id, { priority }));
    const { heads } = await held.headsInOrder(id, 4);
    expect(heads.map(({ eventId }) => eventId)).toEqual(ids.slice(0, 4));
    const selection = { kind: 'inOrder', upToEvent: ids[4]! };
    const pull = async (limit: number) =>
      (await held.pull(take(id, { limit, selection }))).map(({ eventId }) => eventId);
    expect(await pull(3)).toEqual(ids.slice(0, 3));
    expect(await pull(3)).toEqual(ids.slice(3, 5));
    expect(await pull(3)).toEqual([]);
  });

  it('are pulled one by one for a batch, and all together when it is sent again', async () => {
    const id = newId('wh');
    const ids = [await hold(id), await hold(id), await hold(id, { batch_id: 'bat_1' })];
    await hold(id);
    const these = { kind: 'these', ids: ids.map((eventId) => deliveryId(eventId, id)) };
    const what = { selection: these, isUnbatched: true, batchId: 'bat_2' };
    const first = take(id, what);
    const pulled = await held.pull(first);
    expect(pulled.map(({ eventId }) => eventId)).toEqual(ids.slice(0, 2));
    await held.putBack(pulled.map((delivery) => ({ id: delivery.id, token: first.token })));
    await rows.query(`UPDATE deliveries SET not_before = now() + interval '1 h'`);
    const again = await held.pull(
      take(id, { selection: { kind: 'ofBatch', batchId: 'bat_2' }, batchId: 'bat_2' }),
    );
    expect(again.map(({ eventId }) => eventId)).toEqual(ids.slice(0, 2));
  });

  it('are pulled for a lane only by its holder, and what is sent then is known before', async () => {
    const id = newId('wh');
    await hold(id);
    await lanes.take('a', [id], LEASE_MS, 1);
    const state = { agesMs: [], reserved: 1 };
    expect(await held.pull(take(id), { holder: 'b', state })).toEqual([]);
    expect(await held.pull(take(id), { holder: 'a', state })).toHaveLength(1);
    const [row] = await rows.query('SELECT state FROM webhook_leases');
    expect(row!['state']).toEqual(state);
    expect(await held.out(id)).toMatchObject({ count: 1 });
  });

  it('wait for earlier events that are not in line yet, and for no others', async () => {
    const id = newId('wh');
    const before = await rows.owe(null);
    const known = await rows.owe([id]);
    await rows.owe([newId('wh')]);
    await hold(id);
    await rows.owe([id]);
    const { undispatched } = await held.headsInOrder(id, 10);
    expect(undispatched.map(({ eventId, isPending }) => [eventId, isPending])).toEqual([
      [before, false],
      [known, true],
    ]);
  });

  it('take in what was due at a time before there was a lane', async () => {
    const id = newId('wh');
    const later = await hold(id, { due_at: new Date(Date.now() + 60_000) });
    await held.adopt([id]);
    const { heads } = await held.headsInOrder(id, 10);
    expect(heads.map(({ eventId }) => eventId)).toEqual([later]);
    expect(heads[0]!.readyInMs).toBeGreaterThan(50_000);
  });

  it('are put back as they were when nothing was attempted', async () => {
    const id = newId('wh');
    await hold(id);
    const pull = take(id);
    const [pulled] = await held.pull(pull);
    await held.putBack([{ id: pulled!.id, token: 'of somebody else' }]);
    expect((await held.headsInOrder(id, 10)).heads).toEqual([]);
    await held.putBack([{ id: pulled!.id, token: pull.token }]);
    expect((await held.headsInOrder(id, 10)).heads).toHaveLength(1);
  });
});

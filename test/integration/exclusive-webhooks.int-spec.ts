import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { newId } from '../../src/shared/ids.js';
import { deliveryId } from '../../src/delivery/delivery-id.js';
import { DeferredDeliveriesStore } from '../../src/delivery/deferred/deferred.store.js';
import { ExclusiveWebhooksStore } from '../../src/delivery/exclusive/exclusive-webhooks.store.js';
import { DeliveryRows } from '../support/delivery-rows.js';

const LEASE_MS = 60_000;

let rows: DeliveryRows;
let leases: ExclusiveWebhooksStore;
let deferred: DeferredDeliveriesStore;

beforeEach(async () => {
  rows = await DeliveryRows.create();
  leases = new ExclusiveWebhooksStore(rows.postgres);
  deferred = new DeferredDeliveriesStore(rows.postgres);
});
afterEach(() => rows.drop());

const endLeases = () => rows.query(`UPDATE webhook_leases SET until = now() - interval '1 s'`);

/** Stores a deferred delivery of a new event. @returns the id of that event */
async function defer(webhookId: string, more: Record<string, unknown> = {}): Promise<string> {
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
     VALUES ($1, $2, $3, 'stored.event', 'pending', 0, $4, $5, $6, $7, $8)`,
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
    `INSERT INTO events (id, type, body, priority) VALUES ($1, 'stored.event', '{}', 1)`,
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

describe('leases of exclusive webhooks', () => {
  it('are owned by one process each, however many try to take them', async () => {
    const ids = Array.from({ length: 20 }, () => newId('wh'));
    const processes = ['a', 'b', 'c', 'd'];
    const taken = await Promise.all(
      processes.map((holder) => leases.take(holder, [...ids].reverse(), LEASE_MS, 8)),
    );
    const all = taken.flat().map(({ webhookId }) => webhookId);
    expect(new Set(all).size).toBe(all.length);
    for (const own of taken) expect(own.length).toBeLessThanOrEqual(8);
    await leases.take('e', ids, LEASE_MS, 20);
    expect(await leases.take('f', ids, LEASE_MS, 20)).toEqual([]);
  });

  it('may be taken when they have ended, and then the old owner cannot renew them', async () => {
    const id = newId('wh');
    await leases.take('a', [id], LEASE_MS, 1);
    expect(await leases.take('b', [id], LEASE_MS, 1)).toEqual([]);
    await endLeases();
    expect(await leases.take('b', [id], LEASE_MS, 1)).toMatchObject([{ webhookId: id }]);
    expect((await leases.renew('a', [id], LEASE_MS)).kept).toEqual([]);
    expect((await leases.renew('b', [id], LEASE_MS)).kept).toEqual([id]);
  });

  it('are renewed late, too, if no process has taken them', async () => {
    const id = newId('wh');
    await leases.take('a', [id], LEASE_MS, 1);
    await endLeases();
    expect((await leases.renew('a', [id], LEASE_MS)).kept).toEqual([id]);
    expect(await leases.take('b', [id], LEASE_MS, 1)).toEqual([]);
  });

  it('pass on what was sent lately, with its age', async () => {
    const id = newId('wh');
    await leases.take('a', [id], LEASE_MS, 1);
    await leases.release('a', id, { agesMs: [5, 100], reserved: 1 });
    await rows.query(`UPDATE webhook_leases SET state_at = now() - interval '2 s'`);
    const [taken] = await leases.take('b', [id], LEASE_MS, 1);
    expect(taken!.state).toEqual({ agesMs: [5, 100], reserved: 1 });
    expect(taken!.elapsedMs).toBeGreaterThanOrEqual(2_000);
  });

  it('count the leases of all processes', async () => {
    expect(await leases.renew('b', [], LEASE_MS)).toMatchObject({ owned: 0 });
    await leases.take('a', [newId('wh'), newId('wh')], LEASE_MS, 2);
    expect(await leases.renew('b', [], LEASE_MS)).toMatchObject({ owned: 2 });
  });
});

describe('deferred deliveries', () => {
  it('are found per webhook, however many each has', async () => {
    const [a, b] = [newId('wh'), newId('wh')].sort();
    for (let n = 0; n < 5; n++) await defer(a!);
    await defer(b!);
    await defer(newId('wh'), { due_at: new Date() });
    expect(await deferred.webhooksWithBacklog()).toEqual([a, b]);
  });

  it('are pulled once, in the order of their events, if they may be sent', async () => {
    const id = newId('wh');
    const ids = [await defer(id), await defer(id), await defer(id)];
    const later = await defer(id, { not_before: new Date(Date.now() + 60_000) });
    const [first, second] = await Promise.all([
      deferred.pull(take(id, { limit: 2 })),
      deferred.pull(take(id, { limit: 2 })),
    ]);
    expect([...first, ...second].map(({ eventId }) => eventId).sort()).toEqual(ids);
    const { heads } = await deferred.headsInOrder(id, 10);
    expect(heads.map(({ eventId }) => eventId)).toEqual([later]);
    expect(heads[0]!.readyInMs).toBeGreaterThan(50_000);
    expect(await deferred.headsByPriority(id, 10, 0)).toEqual([]);
  });

  it('are pulled by priority, with as many of the oldest as are asked for', async () => {
    const id = newId('wh');
    const ids: string[] = [];
    for (const priority of [2, 2, 2, 1, 1, 0, 0]) ids.push(await defer(id, { priority }));
    const pull = async (limit: number, aged: number) =>
      (await deferred.pull(take(id, { limit, selection: { kind: 'urgent', aged } }))).map((d) =>
        ids.indexOf(d.eventId),
      );
    const heads = await deferred.headsByPriority(id, 5, 1);
    expect(heads.map(({ eventId }) => ids.indexOf(eventId))).toEqual([0, 5, 6, 3, 4]);
    expect(await pull(3, 1)).toEqual([0, 5, 6]);
    expect(await pull(1, 0)).toEqual([3]);
    expect(await pull(1, 1)).toEqual([1]);
    expect(await pull(9, 9)).toEqual([2, 4]);
  });

  it('are pulled in the order of their events, whatever their priority, where that counts', async () => {
    const id = newId('wh');
    const ids: string[] = [];
    for (const priority of [1, 2, 0, 2, 1, 0]) ids.push(await defer(id, { priority }));
    const { heads } = await deferred.headsInOrder(id, 4);
    expect(heads.map(({ eventId }) => eventId)).toEqual(ids.slice(0, 4));
    const selection = { kind: 'inOrder', upToEvent: ids[4]! };
    const pull = async (limit: number) =>
      (await deferred.pull(take(id, { limit, selection }))).map(({ eventId }) => eventId);
    expect(await pull(3)).toEqual(ids.slice(0, 3));
    expect(await pull(3)).toEqual(ids.slice(3, 5));
    expect(await pull(3)).toEqual([]);
  });

  it('are pulled one by one for a batch, and all together when it is sent again', async () => {
    const id = newId('wh');
    const ids = [await defer(id), await defer(id), await defer(id, { batch_id: 'bat_1' })];
    await defer(id);
    const these = { kind: 'these', ids: ids.map((eventId) => deliveryId(eventId, id)) };
    const what = { selection: these, isUnbatched: true, batchId: 'bat_2' };
    const first = take(id, what);
    const pulled = await deferred.pull(first);
    expect(pulled.map(({ eventId }) => eventId)).toEqual(ids.slice(0, 2));
    await deferred.release(pulled.map((delivery) => ({ id: delivery.id, token: first.token })));
    await rows.query(`UPDATE deliveries SET not_before = now() + interval '1 h'`);
    const again = await deferred.pull(
      take(id, { selection: { kind: 'ofBatch', batchId: 'bat_2' }, batchId: 'bat_2' }),
    );
    expect(again.map(({ eventId }) => eventId)).toEqual(ids.slice(0, 2));
  });

  it('are pulled under a webhook lease only by its owner, which stores what it will have sent', async () => {
    const id = newId('wh');
    await defer(id);
    await leases.take('a', [id], LEASE_MS, 1);
    const state = { agesMs: [], reserved: 1 };
    expect(await deferred.pull(take(id), { holder: 'b', state })).toEqual([]);
    expect(await deferred.pull(take(id), { holder: 'a', state })).toHaveLength(1);
    const [row] = await rows.query('SELECT state FROM webhook_leases');
    expect(row!['state']).toEqual(state);
    expect(await deferred.leased(id)).toMatchObject({ count: 1 });
  });

  it('wait for earlier events that have no delivery yet, and for no others', async () => {
    const id = newId('wh');
    const before = await rows.addPending(null);
    const known = await rows.addPending([id]);
    await rows.addPending([newId('wh')]);
    await defer(id);
    await rows.addPending([id]);
    const { undispatched } = await deferred.headsInOrder(id, 10);
    expect(undispatched.map(({ eventId, isMatched }) => [eventId, isMatched])).toEqual([
      [before, false],
      [known, true],
    ]);
  });

  it('include what was scheduled before the webhook became exclusive', async () => {
    const id = newId('wh');
    const later = await defer(id, { due_at: new Date(Date.now() + 60_000) });
    await deferred.convertScheduled([id]);
    const { heads } = await deferred.headsInOrder(id, 10);
    expect(heads.map(({ eventId }) => eventId)).toEqual([later]);
    expect(heads[0]!.readyInMs).toBeGreaterThan(50_000);
  });

  it('are deferred again when they are released without an attempt', async () => {
    const id = newId('wh');
    await defer(id);
    const pull = take(id);
    const [pulled] = await deferred.pull(pull);
    await deferred.release([{ id: pulled!.id, token: 'of another worker' }]);
    expect((await deferred.headsInOrder(id, 10)).heads).toEqual([]);
    await deferred.release([{ id: pulled!.id, token: pull.token }]);
    expect((await deferred.headsInOrder(id, 10)).heads).toHaveLength(1);
  });
});

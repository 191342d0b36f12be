import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/env.js';
import { newId } from '../../src/shared/ids.js';
import { deliveryId } from '../../src/delivery/delivery-id.js';
import { BulkOperationsStore } from '../../src/delivery/bulk/bulk-operations.store.js';
import { BulkStep } from '../../src/delivery/bulk/bulk-step.service.js';
import { BulkStepStore } from '../../src/delivery/bulk/bulk-step.store.js';
import { sliceSize } from '../../src/delivery/bulk/throttle.js';
import { DeliveryRows } from '../support/delivery-rows.js';
import { eventually } from '../support/eventually.js';
import { history } from '../support/operations.js';

const MAX_OPEN = 40;

let rows: DeliveryRows;
let webhookId: string;
/** The same step on two nodes. */
let one: BulkStep;
let two: BulkStep;

beforeEach(async () => {
  rows = await DeliveryRows.create();
  webhookId = await newWebhook();
  const config = loadConfig({
    NODE_ENV: 'test',
    JWT_SECRET: 'a secret of the tests',
    SECRETS_KEY: Buffer.alloc(32).toString('base64'),
    DELIVERY_REDRIVE_MAX_OPEN: String(MAX_OPEN),
  });
  const step = () => new BulkStep(new BulkStepStore(rows.postgres), config);
  [one, two] = [step(), step()];
});
afterEach(() => rows.drop());

async function newWebhook(more: { ordering?: string } = {}): Promise<string> {
  const id = newId('wh');
  await rows.query(
    `INSERT INTO webhooks (id, url, events, sealed_secrets, active, ordering)
     VALUES ($1, 'https://example.com', '{*}', '', true, $2)`,
    [id, more.ordering ?? 'none'],
  );
  return id;
}

const deadLetters = (count: number, to = webhookId) =>
  history(rows.dataSource, { webhookId: to, type: 'bulk.one', count });

/** Requests a redrive of everything; returns its id and count. */
async function redriveAll(): Promise<{ id: string; count: number }> {
  const store = new BulkOperationsStore(rows.dataSource);
  const id = newId('op');
  const requestedBy = { ownerId: 'root', userId: 'root', apiKeyId: null };
  const requested = { id, kind: 'redrive', requestedBy, idempotencyKey: null } as const;
  const operation = await store.exclusively((tx) =>
    store.redrive(tx, { ...requested, requestHash: '', sliceSize: sliceSize(MAX_OPEN) }, {}),
  );
  return { id, count: operation!.count };
}

const operation = async (id: string) =>
  (await rows.query('SELECT status, done, skipped FROM bulk_operations WHERE id = $1', [id]))[0];

const inStatus = async (status: string): Promise<number> =>
  Number(
    (await rows.query('SELECT count(*) FROM deliveries WHERE status = $1', [status]))[0]!.count,
  );

/** As the engine does: every pending delivery succeeds. */
const deliverAll = () =>
  rows.query(
    `UPDATE deliveries SET status = 'success', attempts = attempts + 1, due_at = NULL
      WHERE status = 'pending'`,
  );

/** Steps until the operation is completed; `between` runs after each step. */
async function workOff(id: string, between: () => Promise<unknown>): Promise<void> {
  await eventually(async () => {
    while (await one.step()) await between();
    await between();
    expect(await operation(id)).toMatchObject({ status: 'completed' });
  });
}

describe('a bulk operation', () => {
  it('has a bounded number of deliveries of a webhook open at once, oldest events first', async () => {
    const eventIds = await deadLetters(3 * MAX_OPEN);
    const { id, count } = await redriveAll();
    expect(count).toBe(3 * MAX_OPEN);
    await eventually(async () => {
      await one.step();
      expect(await inStatus('pending')).toBe(MAX_OPEN);
    });
    const open = await rows.query<{ event_id: string }>(
      `SELECT event_id FROM deliveries WHERE status = 'pending' ORDER BY event_id`,
    );
    expect(open.map((row) => row.event_id)).toEqual(eventIds.slice(0, MAX_OPEN));
    let most = 0;
    await workOff(id, async () => {
      most = Math.max(most, await inStatus('pending'));
      await deliverAll();
    });
    expect(most).toBeLessThanOrEqual(MAX_OPEN);
    expect(await operation(id)).toEqual({ status: 'completed', done: count, skipped: 0 });
  });

  it('gives a new budget; a delivery is due at once, and deferred where there is an order', async () => {
    const [eventId] = await deadLetters(1);
    const ordered = await newWebhook({ ordering: 'fifo' });
    const [orderedEventId] = await deadLetters(1, ordered);
    const { id } = await redriveAll();
    await workOff(id, () => Promise.resolve());
    const read = async (event = '', webhook = '') =>
      (
        await rows.query(
          `SELECT status, attempts, budget_start, due_at IS NULL AS is_deferred, completed_at
             FROM deliveries WHERE id = $1`,
          [deliveryId(event, webhook)],
        )
      )[0];
    const requeued = { status: 'pending', attempts: 1, budget_start: 1, completed_at: null };
    expect(await read(eventId, webhookId)).toEqual({ ...requeued, is_deferred: false });
    expect(await read(orderedEventId, ordered)).toEqual({ ...requeued, is_deferred: true });
  });

  it('is shared by two nodes, which requeue every delivery once', async () => {
    const webhookIds = [webhookId, await newWebhook(), await newWebhook()];
    for (const to of webhookIds) await deadLetters(MAX_OPEN, to);
    const { id, count } = await redriveAll();
    await eventually(async () => {
      await Promise.all([one.step(), two.step(), one.step(), two.step()]);
      expect(await operation(id)).toMatchObject({ status: 'completed', done: count, skipped: 0 });
    });
    const again = await rows.query(`SELECT 1 FROM deliveries WHERE budget_start <> 1`);
    expect(again).toEqual([]);
    expect(await rows.query('SELECT 1 FROM bulk_operation_slices')).toEqual([]);
    expect(await rows.query('SELECT 1 FROM bulk_operation_targets')).toEqual([]);
  });

  it('continues from the last commit when its node crashes in a step', async () => {
    await deadLetters(2 * MAX_OPEN);
    const { id, count } = await redriveAll();
    await rows.query('CREATE TABLE obstacle (id integer)');
    await rows.query(`
      CREATE FUNCTION wait_for_obstacle() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        LOCK TABLE obstacle IN ACCESS EXCLUSIVE MODE;
        RETURN NEW;
      END $$`);
    await rows.query(`
      CREATE TRIGGER obstacle BEFORE UPDATE ON bulk_operations
        FOR EACH ROW EXECUTE FUNCTION wait_for_obstacle()`);
    const blocker = rows.dataSource.createQueryRunner();
    await blocker.startTransaction();
    await blocker.query('LOCK TABLE obstacle IN ACCESS EXCLUSIVE MODE');
    const crashing = one.step().catch((error: unknown) => error);
    await eventually(async () =>
      expect(
        await rows.query(`SELECT 1 FROM pg_locks WHERE NOT granted AND locktype = 'relation'`),
      ).toHaveLength(1),
    );
    // The other node finds no target, and does not wait for this one.
    expect(await two.step()).toBe(false);
    await rows.query(
      `SELECT pg_terminate_backend(pid) FROM pg_locks
        WHERE NOT granted AND locktype = 'relation'`,
    );
    expect(await crashing).toBeInstanceOf(Error);
    await blocker.rollbackTransaction();
    await blocker.release();
    expect(await inStatus('dead_letter')).toBe(count);
    expect(await operation(id)).toEqual({ status: 'running', done: 0, skipped: 0 });

    await workOff(id, deliverAll);
    expect(await operation(id)).toEqual({ status: 'completed', done: count, skipped: 0 });
    expect(await rows.query(`SELECT 1 FROM deliveries WHERE budget_start <> 1`)).toEqual([]);
  });

  it('skips and counts deliveries that have changed meanwhile', async () => {
    const eventIds = await deadLetters(6);
    const { id, count } = await redriveAll();
    const [redriven, deleted, dropped] = eventIds;
    const set = (eventId = '', status = '') =>
      rows.query('UPDATE deliveries SET status = $2 WHERE id = $1', [
        deliveryId(eventId, webhookId),
        status,
      ]);
    await set(redriven, 'retrying');
    await set(deleted, 'canceled');
    await rows.query('DELETE FROM events WHERE id = $1', [dropped]);
    await workOff(id, () => Promise.resolve());
    expect(await operation(id)).toEqual({ status: 'completed', done: count - 3, skipped: 3 });
    expect(await inStatus('pending')).toBe(count - 3);
  });

  it('skips the rest when its webhook is deleted', async () => {
    await deadLetters(5);
    const { id, count } = await redriveAll();
    await rows.query('UPDATE webhooks SET deleted_at = now()');
    await workOff(id, () => Promise.resolve());
    expect(await operation(id)).toEqual({ status: 'completed', done: 0, skipped: count });
    expect(await inStatus('dead_letter')).toBe(count);
  });
});

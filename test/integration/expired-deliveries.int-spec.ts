import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { newId } from '../../src/shared/ids.js';
import { firstAttempts } from '../../src/delivery/sending/task.js';
import { ExpiredDeliveriesStore } from '../../src/delivery/claims/expired.store.js';
import { OutboxStore } from '../../src/delivery/claims/outbox.store.js';
import { DeliveryRows } from '../support/delivery-rows.js';

const LEASE_MS = 60_000;

let rows: DeliveryRows;
let expired: ExpiredDeliveriesStore;

beforeEach(async () => {
  rows = await DeliveryRows.create();
  expired = new ExpiredDeliveriesStore(rows.postgres);
});
afterEach(() => rows.drop());

/** So many deliveries in this state, whose event expires in so many milliseconds; null: never. */
async function deliveries(
  count: number,
  status: string,
  ttlMs: number | null,
  webhookId = newId('wh'),
): Promise<string[]> {
  const ids = Array.from({ length: count }, () => newId('dlv'));
  await rows.query(
    `INSERT INTO deliveries (id, event_id, webhook_id, event_type, status, attempts, expires_at)
     SELECT id, 'evt_of_' || id, $2, 'expired.event', $3, 0, now() + $4 * interval '1 ms'
       FROM unnest($1::text[]) AS d(id)`,
    [ids, webhookId, status, ttlMs],
  );
  return ids;
}

const ids = (list: readonly { id: string }[]) => list.map(({ id }) => id).sort();

describe('deliveries that are pending when their event expires', () => {
  it('end, and no others', async () => {
    const over = [
      ...(await deliveries(1, 'pending', -1_000)),
      ...(await deliveries(1, 'retrying', -1_000)),
    ];
    for (const status of ['delivering', 'success', 'dead_letter']) {
      await deliveries(1, status, -1_000);
    }
    await deliveries(1, 'pending', 60_000);
    await deliveries(1, 'retrying', null);
    expect(ids(await expired.end(100))).toEqual(over.sort());
    expect(await expired.end(100)).toEqual([]);
    expect(
      await rows.query(
        `SELECT id, status, last_error, completed_at IS NOT NULL AS is_completed
           FROM deliveries WHERE id = ANY ($1) ORDER BY id`,
        [over],
      ),
    ).toEqual(
      over.map((id) => ({ id, status: 'dead_letter', last_error: 'expired', is_completed: true })),
    );
  });

  it('end once each, however many nodes look at the same time', async () => {
    const over = await deliveries(500, 'pending', -1_000);
    const found: string[] = [];
    for (;;) {
      const slices = await Promise.all([1, 2, 3, 4].map(() => expired.end(50)));
      for (const slice of slices) expect(slice.length).toBeLessThanOrEqual(50);
      if (slices.every((slice) => slice.length === 0)) break;
      found.push(...slices.flatMap(ids));
    }
    expect(found.sort()).toEqual(over.sort());
  });

  it('are canceled if their webhook was deleted', async () => {
    const webhookId = newId('wh');
    await rows.query(
      `INSERT INTO webhooks (id, url, events, sealed_secrets, active, deleted_at)
       VALUES ($1, 'https://example.com', '{}', '', false, now())`,
      [webhookId],
    );
    await deliveries(1, 'retrying', -1_000, webhookId);
    expect(await expired.end(10)).toMatchObject([{ webhookId, isCanceled: true }]);
    expect(await rows.query(`SELECT status, last_error FROM deliveries`)).toEqual([
      { status: 'canceled', last_error: 'webhook_deleted' },
    ]);
  });

  it('end also when they were split off a quarantined event', async () => {
    const webhookId = newId('wh');
    const id = await rows.addPending([webhookId]);
    await rows.query(`UPDATE event_outbox SET expires_at = now() - interval '1 s'`);
    const outbox = new OutboxStore(rows.postgres);
    const [event] = await outbox.claimDue(10, 'p.1', LEASE_MS);
    const { type, priority } = event!;
    const toDeliver = {
      id,
      ownerId: null,
      type,
      body: Buffer.from(''),
      priority,
      expiresAtMs: undefined,
    };
    const tasks = firstAttempts(toDeliver, [webhookId], { token: 'p.1', endsMs: 0 });
    await outbox.split(tasks, 'p.1');
    expect(await expired.end(10)).toMatchObject([{ eventId: id, webhookId }]);
  });
});

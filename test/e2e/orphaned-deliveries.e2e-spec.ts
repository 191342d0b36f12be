import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newId } from '../../src/shared/ids.js';
import { eventually } from '../support/eventually.js';
import { type RunningApp, World } from '../support/world.js';

/** Longer than any test runs. */
const MUCH_LATER = { retryPolicy: { schedule: [3_600_000] } };
const MANY = 2_500;

let world: World;
let product: RunningApp;

beforeAll(async () => {
  world = await World.create();
  product = await world.start();
});
afterAll(() => world.stop());

/** Directly in the database. */
async function query(text: string, values: unknown[]): Promise<unknown[]> {
  const client = new Client({ connectionString: world.database.url });
  await client.connect();
  try {
    return (await client.query(text, values)).rows;
  } finally {
    await client.end();
  }
}

/** A webhook whose receiver has failed once, so that a retry is scheduled in an hour. */
async function webhookWithRetry(settings: object = {}) {
  const receiver = (await world.receiver()).reply(503);
  const type = `orphaned.${crypto.randomUUID().replaceAll('-', '')}`;
  const webhook = await product.api.webhook(receiver.url(), [type], {
    ...MUCH_LATER,
    ...settings,
  });
  const { id: eventId } = await product.api.publish({ type });
  const id = await eventually(async () => {
    const { data } = await product.api.get(`/events/${eventId}/deliveries`);
    expect(data.map(({ status }) => status)).toEqual(['retrying']);
    return data[0]!.id;
  });
  return { webhook, receiver, type, id };
}

const ended = (id: string, expected: object) =>
  eventually(async () =>
    expect(await product.api.get(`/deliveries/${id}`)).toMatchObject({
      nextAttemptAt: null,
      completedAt: expect.any(String),
      ...expected,
    }),
  );

const CANCELED = { status: 'canceled', lastError: 'webhook_deleted' };
const GONE = { status: 'dead_letter', lastError: 'gone' };

const POLICIES: [string, object][] = [
  ['no dispatch policy', {}],
  ['an order', { ordering: 'fifo' }],
  ['a rate', { rateLimit: { max: 100, perMs: 1_000 } }],
  ['batches', { batch: { maxEvents: 2, maxWaitMs: 0 } }],
];

describe('a scheduled retry', () => {
  it.each(POLICIES)('is canceled soon when its webhook, with %s, is deleted', async (_, policy) => {
    const { webhook, receiver, id } = await webhookWithRetry(policy);
    await product.api.delete(`/webhooks/${webhook.id}`);
    await ended(id, CANCELED);
    expect(receiver.requests).toHaveLength(1);
  });

  it.each(POLICIES.filter(([, policy]) => !('ordering' in policy)))(
    'is a dead letter soon when the receiver of its webhook, with %s, responds that it is gone',
    async (_, policy) => {
      const { webhook, receiver, type, id } = await webhookWithRetry(policy);
      receiver.reply(410);
      await product.api.publish({ type });
      await ended(id, GONE);
      expect(await product.api.get(`/webhooks/${webhook.id}`)).toMatchObject({
        active: false,
        disabledReason: 'gone',
      });
      expect(receiver.requests).toHaveLength(2);
    },
  );

  it('stays scheduled when its webhook is switched off by request', async () => {
    const { webhook, id } = await webhookWithRetry();
    const control = await webhookWithRetry();
    await product.api.patch(`/webhooks/${webhook.id}`, { active: false });
    await product.api.delete(`/webhooks/${control.webhook.id}`);
    await ended(control.id, CANCELED);
    expect(await product.api.get(`/deliveries/${id}`)).toMatchObject({
      status: 'retrying',
      nextAttemptAt: expect.any(String),
    });
  });

  it('is canceled also when no process ran while its webhook was deleted', async () => {
    const { webhook, id } = await webhookWithRetry();
    await product.app.close();
    await query(`UPDATE webhooks SET deleted_at = now(), active = false WHERE id = $1`, [
      webhook.id,
    ]);
    product = await world.start();
    await ended(id, CANCELED);
  });

  it('is canceled also with very many others', async () => {
    const { webhook, receiver } = await webhookWithRetry();
    const ids = Array.from({ length: MANY }, () => [newId('evt'), newId('dlv')]);
    await query(
      `INSERT INTO deliveries (id, event_id, webhook_id, event_type, status, attempts, due_at,
                               not_before)
       SELECT d.id, d.event_id, $3, 'orphaned.many', 'retrying', 1,
              CASE WHEN d.n % 2 = 0 THEN now() + interval '1 h' END,
              CASE WHEN d.n % 2 = 1 THEN now() + interval '1 h' END
         FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS d(event_id, id, n)`,
      [ids.map(([eventId]) => eventId), ids.map(([, id]) => id), webhook.id],
    );
    await product.api.delete(`/webhooks/${webhook.id}`);
    await eventually(async () => {
      const counts = await query(
        `SELECT status, count(*)::int FROM deliveries WHERE webhook_id = $1 GROUP BY status`,
        [webhook.id],
      );
      expect(counts).toEqual([{ status: 'canceled', count: MANY + 1 }]);
    }, 25_000);
    expect(receiver.requests).toHaveLength(1);
  });
});

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PostgresClient } from '../../src/database/postgres.client.js';
import { LogPartitionsStore } from '../../src/retention/log-partitions.store.js';
import { RetentionLock } from '../../src/retention/retention-lock.store.js';
import { RetentionService } from '../../src/retention/retention.service.js';
import { eventually } from '../support/eventually.js';
import { DAY_MS, eventIdAt, partitionAt } from '../support/log-rows.js';
import type { WebhookReceiver } from '../support/webhook-receiver.js';
import { type RunningApp, World } from '../support/world.js';

/** Days ago; the retention of the test is shorter. */
const OLD = 5;

let world: World;
let running: RunningApp;
let receiver: WebhookReceiver;

beforeAll(async () => {
  world = await World.create();
  running = await world.start({ EVENT_RETENTION_DAYS: '2' });
  receiver = await world.receiver();
});
afterAll(() => world.stop());

const query = (text: string, values: unknown[] = []) =>
  running.app.get(PostgresClient).dataSource.query<object[]>(text, values);

/** As if today were past the retention. */
async function dropToday(): Promise<void> {
  const partitions = running.app.get(LogPartitionsStore);
  await running.app.get(RetentionLock).connected(async (session) => {
    for (const table of ['deliveries', 'delivery_attempts', 'events']) {
      const today = (await partitions.list(session)).find(
        ({ name }) => name === partitionAt(table, 0),
      );
      await eventually(() => partitions.drop(session, today!));
    }
  });
}

describe('the log, when a day has expired', () => {
  it('knows the event no more, and still answers a repeated key as it did', async () => {
    await running.api.webhook(receiver.url('/keyed'), ['trade.*']);
    const event = { type: 'trade.submitted', data: { n: 1 } };
    const key = { 'idempotency-key': 'once' };
    const { id } = await running.api.publish(event, key);
    await receiver.expectRequests(1, '/keyed');
    await eventually(async () => {
      const { data } = await running.api.get('/deliveries?status=success');
      expect(data.length).toBe(1);
    });
    await dropToday();

    await running.api.get(`/events/${id}`, 404);
    expect(await running.api.publish(event, key)).toMatchObject({ id, duplicate: true });
    // What is published now is there at once, in a day that has no partition any more.
    const next = await running.api.publish(event);
    await receiver.expectRequests(2, '/keyed');
    expect((await running.api.get(`/events/${next.id}`)).id).toBe(next.id);
    expect(receiver.of('/keyed').map(({ json }) => json.id)).toEqual([id, next.id]);
  });

  it('still delivers what was pending from it', async () => {
    const webhook = await running.api.webhook(receiver.url('/pending'), ['never.matched']);
    const retention = running.app.get(RetentionService);
    const id = eventIdAt(Date.now() - OLD * DAY_MS);
    await retention.prepare(Date.now() - OLD * DAY_MS);
    await query(
      `WITH logged AS (INSERT INTO events (id, type, body, priority) VALUES ($1, 't', $2, 1))
       INSERT INTO event_outbox (event_id, webhook_ids, due_at)
       VALUES ($1, $3, now() + interval '1 day')`,
      [id, `{"id":"${id}"}`, [webhook.id]],
    );
    await eventually(async () => expect(await retention.run(Date.now())).toBe(true));
    const left = await query(`SELECT 1 FROM pg_class WHERE relname = $1`, [
      partitionAt('events', OLD),
    ]);
    expect(left).toEqual([]);
    await query(`UPDATE event_outbox SET due_at = now() WHERE event_id = $1`, [id]);
    const [request] = await receiver.expectRequests(1, '/pending');
    expect(request!.json.id).toBe(id);
  });
});

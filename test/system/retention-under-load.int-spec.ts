import { Logger } from '@nestjs/common';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newId } from '../../src/shared/ids.js';
import { PRODUCTION_TIMINGS } from '../../src/config/timings.js';
import { type DeliveryTask, firstAttempts } from '../../src/delivery/sending/task.js';
import { DueDeliveriesStore } from '../../src/delivery/claims/due.store.js';
import { FINAL, type Outcome } from '../../src/delivery/sending/outcome.js';
import { OutcomeStore } from '../../src/delivery/sending/outcome.store.js';
import { OutboxStore } from '../../src/delivery/claims/outbox.store.js';
import { LogPartitionsStore } from '../../src/retention/log-partitions.store.js';
import { RetentionLock } from '../../src/retention/retention-lock.store.js';
import { DeliveryRows } from '../support/delivery-rows.js';
import { eventually } from '../support/eventually.js';
import { retentionOf } from '../support/retention-of.js';
import { LogRows, partitionAt } from '../support/log-rows.js';

Logger.overrideLogger(false);

const ROUNDS = 6;
const LEASE_MS = 60_000;

let rows: DeliveryRows;
let log: LogRows;

beforeAll(async () => {
  rows = await DeliveryRows.create();
  log = new LogRows(rows);
});
afterAll(() => rows.drop());

/** Publishers and workers that run until they are stopped, and fail at the first error. */
class Traffic {
  readonly published: string[] = [];
  readonly delivered = new Set<string>();
  private readonly outbox = new OutboxStore(rows.postgres);
  private readonly due = new DueDeliveriesStore(rows.postgres);
  private readonly outcomes = new OutcomeStore(rows.postgres, PRODUCTION_TIMINGS);
  private readonly loops: Promise<void>[];
  private isPublishing = true;
  private isWorking = true;

  constructor() {
    const whilePublishing = () => this.isPublishing;
    const whileWorking = () => this.isWorking;
    this.loops = [
      until(whilePublishing, () => this.publish()),
      until(whilePublishing, () => this.publish()),
      until(whilePublishing, () => this.read()),
      until(whileWorking, () => this.tryFirst()),
      until(whileWorking, () => this.tryAgain()),
    ];
    // end() reports errors.
    for (const loop of this.loops) loop.catch(() => undefined);
  }

  /** Rejects with what went wrong for any of them. */
  async end(): Promise<void> {
    this.isPublishing = false;
    await Promise.race([Promise.all(this.loops), this.allDelivered()]);
    this.isWorking = false;
    await Promise.all(this.loops);
  }

  private allDelivered(): Promise<void> {
    return eventually(() => expect(this.delivered.size).toBe(this.published.length));
  }

  private async publish(): Promise<void> {
    const id = newId('evt');
    await rows.postgres.run(
      {
        name: 'publish-like-the-product',
        text: `WITH logged AS (INSERT INTO events (id, type, body, priority)
                               VALUES ($1, 'stored.event', $2, 1))
               INSERT INTO event_outbox (event_id, webhook_ids, due_at) VALUES ($1, $3, now())`,
      },
      [id, `{"id":"${id}"}`, [newId('wh')]],
    );
    this.published.push(id);
  }

  private async read(): Promise<void> {
    await rows.query(
      `SELECT * FROM deliveries WHERE webhook_id = ANY ($1) ORDER BY id DESC LIMIT 9`,
      [[newId('wh')]],
    );
  }

  /** First attempts fail, so that every delivery has to be found again by its due time. */
  private async tryFirst(): Promise<void> {
    const claimed = await this.outbox.claimDue(50, 'w.1', LEASE_MS);
    const lease = { token: 'w.1', endsMs: 0 };
    const tasks = claimed.flatMap((event) =>
      firstAttempts({ ...event, body: Buffer.from(event.body) }, event.webhookIds!, lease),
    );
    await this.record(tasks, {
      status: 'retrying',
      next: { kind: 'scheduled', inMs: 0 },
      error: 'http',
    });
  }

  private async tryAgain(): Promise<void> {
    const claimed = await this.due.claim(50, 'w.2', LEASE_MS);
    const tasks = claimed.map((delivery): DeliveryTask => {
      expect(delivery.body).toBe(`{"id":"${delivery.eventId}"}`);
      const body = Buffer.from(delivery.body!);
      const { id, webhookId, eventId, type, priority, attempts, budgetStart } = delivery;
      const event = { id: eventId, ownerId: null, type, body, priority, expiresAtMs: undefined };
      return {
        deliveryId: id,
        event,
        webhookId,
        priority,
        attempt: attempts + 1,
        budgetStart,
        token: 'w.2',
        leaseEndsMs: 0,
        lostLeases: 0,
        pauseMs: 0,
        source: { kind: 'due' as const },
      };
    });
    await this.record(tasks, { status: 'success', next: FINAL, error: null });
    for (const { event } of tasks) this.delivered.add(event.id);
  }

  private async record(
    tasks: DeliveryTask[],
    outcome: Pick<Outcome, 'status' | 'next' | 'error'>,
  ): Promise<void> {
    const statusCode = outcome.error ? 503 : 200;
    const answer = {
      statusCode,
      error: outcome.error,
      responseBody: null,
      message: null,
      isResent: false,
    };
    const attempt = { startedAtMs: Date.now(), durationMs: 1, ...answer };
    await Promise.all(tasks.map((task) => this.outcomes.record({ task, ...outcome, attempt })));
  }
}

async function until(isOn: () => boolean, run: () => Promise<void>): Promise<void> {
  while (isOn()) await run();
}

/** Drops the day that all of them write to, as if it had expired at this moment. */
async function dropToday(): Promise<void> {
  const [lock, partitions] = [new RetentionLock(rows.postgres), new LogPartitionsStore()];
  await lock.connected(async (session) => {
    for (const table of ['deliveries', 'delivery_attempts', 'events']) {
      // Again if the lock is not free in time.
      await eventually(async () => {
        const all = await partitions.list(session);
        const today = all.find(({ name }) => name === partitionAt(table, 0));
        if (today) await partitions.drop(session, today);
      });
    }
  });
}

describe('while events are published and delivered', () => {
  it('partitions come and go, without an error, and no pending delivery is lost', async () => {
    const retention = retentionOf(rows.postgres);
    const traffic = new Traffic();
    for (let round = 0; round < ROUNDS; round++) {
      await eventually(async () => {
        await retention.prepare(Date.now());
        expect(await log.partitions()).toContain(partitionAt('events', 0));
      });
      const count = traffic.published.length;
      await eventually(() => expect(traffic.published.length).toBeGreaterThan(count + 20));
      await dropToday();
    }
    await traffic.end();
    expect(traffic.published.length).toBeGreaterThan(0);
    expect([...traffic.delivered].sort()).toEqual(traffic.published.sort());
    expect(await rows.query('SELECT 1 FROM event_outbox')).toEqual([]);
    expect(await rows.query(`SELECT 1 FROM deliveries WHERE status <> 'success'`)).toEqual([]);
  });
});

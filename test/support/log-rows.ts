import { randomBytes } from 'node:crypto';
import { encodeSuffix, firstSuffixAt, newId, TIME_PART_LENGTH } from '../../src/shared/ids.js';
import { deliveryId } from '../../src/delivery/delivery-id.js';
import type { DeliveryRows } from './delivery-rows.js';

export const DAY_MS = 86_400_000;

/** Rows of the log with an age: an id contains the time at which its event was accepted. */
export class LogRows {
  constructor(private readonly rows: DeliveryRows) {}

  /** An event that was accepted so many days ago, with an outbox row for these webhooks if any are given. */
  async event(ageDays: number, webhookIds?: readonly string[]): Promise<string> {
    const id = eventIdAt(Date.now() - ageDays * DAY_MS);
    await this.rows.query(
      `INSERT INTO events (id, type, body, priority) VALUES ($1, 'stored.event', $2, 1)`,
      [id, `{"id":"${id}"}`],
    );
    if (webhookIds) {
      await this.rows.query(
        `INSERT INTO event_outbox (event_id, webhook_ids, due_at) VALUES ($1, $2, now())`,
        [id, webhookIds],
      );
    }
    return id;
  }

  /** Its delivery to a webhook of its own, with one earlier attempt. Due now, unless it is final or deferred. */
  async delivery(eventId: string, status: string, { deferred = false } = {}): Promise<string> {
    const webhookId = newId('wh');
    const id = deliveryId(eventId, webhookId);
    const isDue = !deferred && ['pending', 'retrying', 'delivering'].includes(status);
    await this.rows.query(
      `INSERT INTO deliveries (id, event_id, webhook_id, event_type, status, attempts, due_at)
       VALUES ($1, $2, $3, 'stored.event', $4, 2, CASE WHEN $5 THEN now() END)`,
      [id, eventId, webhookId, status, isDue],
    );
    await this.rows.query(
      `INSERT INTO delivery_attempts (delivery_id, started_at, number, duration_ms)
       VALUES ($1, now(), 1, 5)`,
      [id],
    );
    return id;
  }

  /** Many deliveries of one event, without attempts. */
  async manyDeliveries(eventId: string, status: string, count: number): Promise<void> {
    await this.rows.query(
      `INSERT INTO deliveries (id, event_id, webhook_id, event_type, status, attempts)
       SELECT 'dlv_' || substr($1, 5, 10) || lpad(n::text, 16, '0'), $1, 'wh_' || n, 't', $2, 0
         FROM generate_series(1, $3) AS n`,
      [eventId, status, count],
    );
  }

  /** The ids in all three tables. */
  async ids(): Promise<{ events: string[]; deliveries: string[]; attempts: string[] }> {
    const read = async (text: string) =>
      (await this.rows.query<{ id: string }>(text)).map(({ id }) => id);
    return {
      events: await read('SELECT id FROM events ORDER BY id'),
      deliveries: await read('SELECT id FROM deliveries ORDER BY id'),
      attempts: await read('SELECT delivery_id AS id FROM delivery_attempts ORDER BY 1'),
    };
  }

  /** Names of the range partitions, of one table or of all. */
  async partitions(table = ''): Promise<string[]> {
    const rows = await this.rows.query<{ name: string }>(
      `SELECT relname AS name FROM pg_class
        WHERE relispartition AND relkind = 'r' AND relname LIKE $1 || '%'
          AND relname NOT LIKE '%\\_default' ORDER BY relname`,
      [table],
    );
    return rows.map(({ name }) => name);
  }

  /** The partition that a row is in. */
  async partitionOf(table: string, id: string): Promise<string | undefined> {
    const key = table === 'delivery_attempts' ? 'delivery_id' : 'id';
    const rows = await this.rows.query<{ name: string }>(
      `SELECT tableoid::regclass::text AS name FROM ${table} WHERE ${key} = $1`,
      [id],
    );
    return rows[0]?.name;
  }
}

export function eventIdAt(ms: number): string {
  const random = encodeSuffix(randomBytes(16)).slice(TIME_PART_LENGTH);
  return `evt_${firstSuffixAt(ms).slice(0, TIME_PART_LENGTH)}${random}`;
}

/** The name of the partition of a day, so many days ago. */
export function partitionAt(table: string, ageDays: number): string {
  const date = new Date(Date.now() - ageDays * DAY_MS).toISOString().slice(0, 10);
  return `${table}_${date.replaceAll('-', '')}`;
}

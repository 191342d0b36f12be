import { Injectable } from '@nestjs/common';
import { keyIn } from '../../database/keyed-lookup.js';
import { PostgresClient } from '../../database/postgres.client.js';
import { STILL_SERVED } from '../bulk/requeue.statements.js';
import { webhooksWith } from './webhook-scan.js';

/** Rows per statement: a webhook may be owed very many. */
const SLICE = 1_000;

const IS_OPEN = `status IN ('pending', 'retrying')`;
const IS_TIMED = `due_at IS NOT NULL AND ${IS_OPEN}`;

const WEBHOOKS = {
  name: 'webhooks-unserved-with-timed',
  text: `
    WITH ${webhooksWith(IS_TIMED)}
    SELECT line.webhook_id FROM line JOIN webhooks w ON w.id = line.webhook_id
     WHERE NOT ${STILL_SERVED}`,
};

const IS_UNSERVED = `EXISTS (SELECT 1 FROM webhooks w WHERE w.id = $1 AND NOT ${STILL_SERVED})`;

const RELEASE = {
  name: 'release-unserved',
  text: `
    WITH timed AS (
      SELECT id FROM deliveries WHERE webhook_id = $1 AND ${IS_TIMED} AND ${IS_UNSERVED}
       LIMIT ${SLICE} FOR UPDATE SKIP LOCKED),
    delayed AS (
      SELECT id FROM deliveries
       WHERE webhook_id = $1 AND due_at IS NULL AND ${IS_OPEN} AND not_before > now()
         AND ${IS_UNSERVED}
       LIMIT ${SLICE} FOR UPDATE SKIP LOCKED),
    waiting AS MATERIALIZED (SELECT id FROM timed UNION ALL SELECT id FROM delayed),
    released AS (
      UPDATE deliveries SET due_at = NULL, not_before = NULL WHERE ${keyIn('id', 'waiting')}
      RETURNING 1)
    SELECT count(*)::int AS count FROM released`,
};

/**
 * Deliveries that wait for a time, of webhooks that are deleted or were switched off by the engine:
 * nothing of them will be sent, so that there is nothing to wait for.
 */
@Injectable()
export class OrphanedDeliveriesStore {
  constructor(private readonly postgres: PostgresClient) {}

  /** Such webhooks that something falls due for at a time. */
  async webhooks(): Promise<string[]> {
    const rows = await this.postgres.run<{ webhook_id: string }>(WEBHOOKS, []);
    return rows.map((row) => row.webhook_id);
  }

  /**
   * Lets what waits for a time, and is not leased, be pulled at once; nothing if the webhook is
   * served.
   * @returns how many: if not 0, there may be more
   */
  async release(webhookId: string): Promise<number> {
    const [row] = await this.postgres.run<{ count: number }>(RELEASE, [webhookId]);
    return row!.count;
  }
}

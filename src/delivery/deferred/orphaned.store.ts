import { Injectable } from '@nestjs/common';
import { keyIn } from '../../database/keyed-lookup.js';
import { PostgresClient } from '../../database/postgres.client.js';
import { STILL_SERVED } from '../requeue.statements.js';
import { webhooksWith } from './deferred.statements.js';

/** Rows per statement: a webhook may have very many. */
const BATCH = 1_000;

const IS_PENDING = `status IN ('pending', 'retrying')`;
const IS_SCHEDULED = `due_at IS NOT NULL AND ${IS_PENDING}`;

const WEBHOOKS_WITH_ORPHANED = {
  name: 'webhooks-with-orphaned-deliveries',
  text: `
    WITH ${webhooksWith(IS_SCHEDULED)}
    SELECT found.webhook_id FROM found JOIN webhooks w ON w.id = found.webhook_id
     WHERE NOT ${STILL_SERVED}`,
};

const IS_ORPHANED = `EXISTS (SELECT 1 FROM webhooks w WHERE w.id = $1 AND NOT ${STILL_SERVED})`;

const MAKE_READY = {
  name: 'make-orphaned-deliveries-ready',
  text: `
    WITH scheduled AS (
      SELECT id FROM deliveries WHERE webhook_id = $1 AND ${IS_SCHEDULED} AND ${IS_ORPHANED}
       LIMIT ${BATCH} FOR UPDATE SKIP LOCKED),
    delayed AS (
      SELECT id FROM deliveries
       WHERE webhook_id = $1 AND due_at IS NULL AND ${IS_PENDING} AND not_before > now()
         AND ${IS_ORPHANED}
       LIMIT ${BATCH} FOR UPDATE SKIP LOCKED),
    waiting AS MATERIALIZED (SELECT id FROM scheduled UNION ALL SELECT id FROM delayed),
    ready AS (
      UPDATE deliveries SET due_at = NULL, not_before = NULL WHERE ${keyIn('id', 'waiting')}
      RETURNING 1)
    SELECT count(*)::int AS count FROM ready`,
};

/**
 * Deliveries that wait for a time, of webhooks that are deleted or were disabled by the engine. None
 * of them will be sent, so that they need not wait.
 */
@Injectable()
export class OrphanedDeliveriesStore {
  constructor(private readonly postgres: PostgresClient) {}

  /** Deleted or disabled webhooks with scheduled deliveries. */
  async webhooksWithOrphaned(): Promise<string[]> {
    const rows = await this.postgres.run<{ webhook_id: string }>(WEBHOOKS_WITH_ORPHANED, []);
    return rows.map((row) => row.webhook_id);
  }

  /**
   * What waits for a time, and is not leased, may be pulled at once. Changes nothing unless the
   * webhook is deleted or disabled.
   * @returns how many: if not 0, there may be more
   */
  async makeReady(webhookId: string): Promise<number> {
    const [row] = await this.postgres.run<{ count: number }>(MAKE_READY, [webhookId]);
    return row!.count;
  }
}

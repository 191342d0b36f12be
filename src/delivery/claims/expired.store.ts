import { Injectable } from '@nestjs/common';
import { keyIn } from '../../database/keyed-lookup.js';
import { PostgresClient } from '../../database/postgres.client.js';

/** A delivery that has ended with the time to live of its event. */
export interface ExpiredDelivery {
  id: string;
  eventId: string;
  eventType: string;
  webhookId: string;
  attempts: number;
  /** Its webhook is deleted: it is canceled instead of a dead letter. */
  isCanceled: boolean;
}

const END = {
  name: 'end-expired-deliveries',
  text: `
    WITH expired AS MATERIALIZED (
      SELECT d.id, w.deleted_at IS NOT NULL AS is_canceled
        FROM deliveries d LEFT JOIN webhooks w ON w.id = d.webhook_id
       WHERE d.expires_at <= now() AND d.status IN ('pending', 'retrying')
       ORDER BY d.expires_at LIMIT $1
         FOR UPDATE OF d SKIP LOCKED)
    UPDATE deliveries d
       SET status = CASE WHEN is_canceled THEN 'canceled' ELSE 'dead_letter' END,
           last_error = CASE WHEN is_canceled THEN 'webhook_deleted' ELSE 'expired' END,
           due_at = NULL, not_before = NULL, completed_at = now()
      FROM expired WHERE d.id = expired.id AND ${keyIn('d.id', 'expired')}
    RETURNING d.id, d.event_id AS "eventId", d.event_type AS "eventType",
              d.webhook_id AS "webhookId", d.attempts, is_canceled AS "isCanceled"`,
};

/**
 * Pending deliveries, scheduled and deferred ones, whose event has expired. Leased ones are not
 * among them: their worker checks the time to live itself.
 */
@Injectable()
export class ExpiredDeliveriesStore {
  constructor(private readonly postgres: PostgresClient) {}

  /** Ends at most so many. */
  async end(limit: number): Promise<ExpiredDelivery[]> {
    return this.postgres.run<ExpiredDelivery & Record<string, unknown>>(END, [limit]);
  }
}

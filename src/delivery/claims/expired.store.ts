import { Injectable } from '@nestjs/common';
import { keyIn } from '../../database/keyed-lookup.js';
import { PostgresClient } from '../../database/postgres.client.js';

/** A delivery that has ended because the time to live of its event has. */
export interface ExpiredDelivery {
  id: string;
  eventId: string;
  eventType: string;
  webhookId: string;
  attempts: number;
  /** Its webhook was deleted meanwhile: it is canceled, and no dead letter. */
  isCanceled: boolean;
}

const END = {
  name: 'end-expired-deliveries',
  text: `
    WITH taken AS MATERIALIZED (
      SELECT d.id, w.deleted_at IS NOT NULL AS is_canceled
        FROM deliveries d LEFT JOIN webhooks w ON w.id = d.webhook_id
       WHERE d.expires_at <= now() AND d.status IN ('pending', 'retrying')
       ORDER BY d.expires_at LIMIT $1
         FOR UPDATE OF d SKIP LOCKED)
    UPDATE deliveries d
       SET status = CASE WHEN is_canceled THEN 'canceled' ELSE 'dead_letter' END,
           last_error = CASE WHEN is_canceled THEN 'webhook_deleted' ELSE 'expired' END,
           due_at = NULL, not_before = NULL, completed_at = now()
      FROM taken WHERE d.id = taken.id AND ${keyIn('d.id', 'taken')}
    RETURNING d.id, d.event_id AS "eventId", d.event_type AS "eventType",
              d.webhook_id AS "webhookId", d.attempts, is_canceled AS "isCanceled"`,
};

/**
 * Deliveries that wait, whatever for, when the time to live of their event ends. What is leased is
 * not among them: whoever has it looks at the time itself.
 */
@Injectable()
export class ExpiredDeliveriesStore {
  constructor(private readonly postgres: PostgresClient) {}

  /** Ends at most so many. */
  async end(limit: number): Promise<ExpiredDelivery[]> {
    return this.postgres.run<ExpiredDelivery & Record<string, unknown>>(END, [limit]);
  }
}

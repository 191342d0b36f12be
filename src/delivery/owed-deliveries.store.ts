import { Injectable } from '@nestjs/common';
import { texts } from '../database/columns.js';
import { PostgresClient } from '../database/postgres.client.js';
import { deliveryId } from './delivery-id.js';
import type { DeliveryResponse } from './deliveries.dto.js';

interface OwedRow {
  event_id: string;
  webhook_ids: string[];
  type: string;
  created_at: Date;
  is_taken: boolean;
}

const COLUMNS = `b.event_id, b.webhook_ids, e.type, e.created_at, b.lease_token IS NOT NULL AS is_taken
  FROM event_outbox b JOIN events e ON e.id = b.event_id`;

const OF_EVENT = {
  name: 'owed-of-event',
  text: `SELECT ${COLUMNS} WHERE b.event_id = $1 AND b.webhook_ids IS NOT NULL`,
};

const OF_WEBHOOKS = {
  name: 'owed-to-webhooks',
  text: `SELECT ${COLUMNS}
          WHERE ($1::text IS NULL OR b.webhook_ids && ${texts(1)}) AND b.webhook_ids IS NOT NULL
            AND ($2::text IS NULL OR b.event_id < $2)
          ORDER BY b.event_id DESC LIMIT $3`,
};

/**
 * Deliveries that are owed and have no row yet: they follow from the outbox row of their event. The
 * API shows them like all others, so that an accepted event is never invisible.
 */
@Injectable()
export class OwedDeliveriesStore {
  constructor(private readonly postgres: PostgresClient) {}

  async ofEvent(eventId: string): Promise<DeliveryResponse[]> {
    const rows = await this.postgres.run<OwedRow>(OF_EVENT, [eventId]);
    return rows.flatMap((row) => row.webhook_ids.map((id) => owed(row, id)));
  }

  /**
   * The newest, at most `limit` events' worth.
   * @param webhookIds  undefined: of all webhooks
   * @param beforeEvent only of events with a smaller id
   */
  async ofWebhooks(
    webhookIds: ReadonlySet<string> | undefined,
    beforeEvent: string | undefined,
    limit: number,
  ): Promise<DeliveryResponse[]> {
    if (webhookIds?.size === 0) return [];
    const ids = webhookIds && [...webhookIds].join('\u001e');
    const rows = await this.postgres.run<OwedRow>(OF_WEBHOOKS, [ids ?? null, beforeEvent, limit]);
    return rows.flatMap((row) =>
      row.webhook_ids.filter((id) => webhookIds?.has(id) ?? true).map((id) => owed(row, id)),
    );
  }
}

const owed = (row: OwedRow, webhookId: string): DeliveryResponse => ({
  id: deliveryId(row.event_id, webhookId),
  eventId: row.event_id,
  eventType: row.type,
  webhookId,
  status: row.is_taken ? 'delivering' : 'pending',
  attemptCount: 0,
  nextAttemptAt: null,
  lastStatusCode: null,
  lastError: null,
  createdAt: row.created_at.toISOString(),
  completedAt: null,
});

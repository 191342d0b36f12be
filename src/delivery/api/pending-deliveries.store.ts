import { Injectable } from '@nestjs/common';
import { matchesSql } from '../../shared/event-pattern.js';
import { TIME_PART_LENGTH, timeOf, timePart } from '../../shared/ids.js';
import { texts } from '../../database/bulk.js';
import { PostgresClient } from '../../database/postgres.client.js';
import { deliveryId } from '../delivery-id.js';
import type { DeliveryResponse } from './deliveries.dto.js';

interface OwedRow {
  event_id: string;
  webhook_ids: string[];
  type: string;
  is_taken: boolean;
}

const COLUMNS = `b.event_id, b.webhook_ids, e.type, b.lease_token IS NOT NULL AS is_taken
  FROM event_outbox b JOIN events e ON e.id = b.event_id`;

const OF_EVENT = {
  name: 'owed-of-event',
  text: `SELECT ${COLUMNS} WHERE b.event_id = $1 AND b.webhook_ids IS NOT NULL`,
};

const OF_MILLISECOND = {
  name: 'owed-of-millisecond',
  text: `
    SELECT ${COLUMNS}
     WHERE b.event_id >= $1 AND b.event_id < $1 || '~' AND b.webhook_ids IS NOT NULL`,
};

/**
 * Whole milliseconds: the deliveries of one millisecond are ordered by hashes that only we can make,
 * so a limit within it would cut off any of them. Of the cursor's own ($2) all are read, too, and do
 * not count.
 */
const OF_WEBHOOKS = {
  name: 'owed-to-webhooks',
  text: `
    WITH matching AS NOT MATERIALIZED (
      SELECT ${COLUMNS}
       WHERE ($1::text IS NULL OR b.webhook_ids && ${texts(1)}) AND b.webhook_ids IS NOT NULL
         AND ($2::text IS NULL OR b.event_id < $2 || '~')
         AND ($3::text IS NULL OR b.event_id >= $3) AND ($4::text IS NULL OR b.event_id < $4)
         AND ($5::text IS NULL OR ${matchesSql('$5', 'e.type')})
         AND ($6::boolean IS NULL OR $6 = (b.lease_token IS NOT NULL)))
    SELECT * FROM matching
     WHERE event_id >= coalesce(
       (SELECT left(min(newest.event_id), ${'evt_'.length + TIME_PART_LENGTH}) FROM (
          SELECT event_id FROM matching WHERE $2::text IS NULL OR event_id < $2
           ORDER BY event_id DESC LIMIT $7) newest),
       $2, '')`,
};

/** What is left out by the store already: a limit that was reached before would hide the rest. */
export interface PendingFilter {
  /** `evt_` and the millisecond of the cursor: only of its events and older ones. */
  cursorTime?: string;
  /** Only of this event and later ones. */
  from?: string;
  /** Only of events with a smaller id. */
  before?: string;
  /** Type or pattern of the event. */
  type?: string;
  /** Whether a worker has it. */
  isTaken?: boolean;
  /** At least as many events, if there are as many. */
  limit: number;
}

/**
 * Deliveries that are owed and have no row yet: they follow from the outbox row of their event. The
 * API shows them like all others, so that an accepted event is never invisible.
 */
@Injectable()
export class PendingDeliveriesStore {
  constructor(private readonly postgres: PostgresClient) {}

  async ofEvent(eventId: string): Promise<DeliveryResponse[]> {
    const rows = await this.postgres.run<OwedRow>(OF_EVENT, [eventId]);
    return rows.flatMap((row) => row.webhook_ids.map((id) => owed(row, id)));
  }

  /** The delivery of this id, which has the millisecond of its event. */
  async find(id: string): Promise<DeliveryResponse | undefined> {
    const rows = await this.postgres.run<OwedRow>(OF_MILLISECOND, [`evt_${timePart(id)}`]);
    return rows
      .flatMap((row) => row.webhook_ids.map((webhookId) => owed(row, webhookId)))
      .find((delivery) => delivery.id === id);
  }

  /**
   * The newest, in no order.
   * @param webhookIds undefined: of all webhooks
   */
  async ofWebhooks(
    webhookIds: ReadonlySet<string> | undefined,
    { cursorTime, from, before, type, isTaken, limit }: PendingFilter,
  ): Promise<DeliveryResponse[]> {
    if (webhookIds?.size === 0) return [];
    const rows = await this.postgres.run<OwedRow>(OF_WEBHOOKS, [
      (webhookIds && [...webhookIds].join('\u001e')) ?? null,
      cursorTime ?? null,
      from ?? null,
      before ?? null,
      type ?? null,
      isTaken ?? null,
      limit,
    ]);
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
  createdAt: new Date(timeOf(row.event_id)).toISOString(),
  completedAt: null,
});

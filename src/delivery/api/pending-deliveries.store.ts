import { Injectable } from '@nestjs/common';
import { matchesAnySql, matchesSql } from '../../shared/event-pattern.js';
import { TIME_PART_LENGTH, timePart } from '../../shared/ids.js';
import { reachesSql } from '../../shared/visibility.js';
import { textList, texts } from '../../database/bulk.js';
import { PostgresClient } from '../../database/postgres.client.js';
import { deliveryId } from '../delivery-id.js';

/** A delivery that has had no outcome yet. */
export interface PendingDelivery {
  id: string;
  eventId: string;
  eventType: string;
  webhookId: string;
  /** Whether a worker has its event. */
  isLeased: boolean;
}

interface PendingCounts {
  pending: number;
  delivering: number;
}

interface OutboxRow {
  event_id: string;
  webhook_ids: string[];
  type: string;
  is_leased: boolean;
}

const COLUMNS = `o.event_id, o.webhook_ids, e.type, o.lease_token IS NOT NULL AS is_leased
  FROM event_outbox o JOIN events e ON e.id = o.event_id`;

const OF_EVENT = {
  name: 'pending-of-event',
  text: `SELECT ${COLUMNS} WHERE o.event_id = $1 AND o.webhook_ids IS NOT NULL`,
};

const OF_MILLISECOND = {
  name: 'pending-of-millisecond',
  text: `
    SELECT ${COLUMNS}
     WHERE o.event_id >= $1 AND o.event_id < $1 || '~' AND o.webhook_ids IS NOT NULL`,
};

/**
 * Whole milliseconds: the deliveries of one millisecond are ordered by hashes that SQL cannot make,
 * so a limit within it would cut off any of them. Those of the cursor's own ($2) are all read, too,
 * and do not count towards the limit.
 */
const OF_WEBHOOKS = {
  name: 'pending-of-webhooks',
  text: `
    WITH matching AS NOT MATERIALIZED (
      SELECT ${COLUMNS}
       WHERE ($1::text IS NULL OR o.webhook_ids && ${texts(1)}) AND o.webhook_ids IS NOT NULL
         AND ($2::text IS NULL OR o.event_id < $2 || '~')
         AND ($3::text IS NULL OR o.event_id >= $3) AND ($4::text IS NULL OR o.event_id < $4)
         AND ($5::text IS NULL OR ${matchesSql('$5', 'e.type')})
         AND ($6::boolean IS NULL OR $6 = (o.lease_token IS NOT NULL))
         AND ($8::text[] IS NULL OR ${matchesAnySql('$8::text[]', 'e.type')}))
    SELECT * FROM matching
     WHERE event_id >= coalesce(
       (SELECT left(min(newest.event_id), ${'evt_'.length + TIME_PART_LENGTH}) FROM (
          SELECT event_id FROM matching WHERE $2::text IS NULL OR event_id < $2
           ORDER BY event_id DESC LIMIT $7) newest),
       $2, '')`,
};

/** SQL: a worker, which has not matched the event yet, will find the webhook. */
const willMatch = (webhookId: string, eventId: string): string => `
  EXISTS (SELECT FROM webhooks w JOIN events e ON e.id = ${eventId}
           WHERE w.id = ${webhookId} AND w.active AND w.deleted_at IS NULL
             AND ${reachesSql('w.owner_id', 'e.owner_id')} AND ${matchesAnySql('w.events', 'e.type')})`;

/**
 * Those that have a row are left out: the outbox row of an event stays until all of its deliveries have
 * one. The ids of deliveries hold the time of their event, so a short range of an index is searched.
 */
const COUNT_OF_WEBHOOK = {
  name: 'count-pending-of-webhook',
  text: `
    SELECT count(*) FILTER (WHERE NOT is_leased)::int AS pending,
           count(*) FILTER (WHERE is_leased)::int AS delivering
      FROM (
        SELECT o.lease_token IS NOT NULL AS is_leased FROM event_outbox o
         WHERE (o.webhook_ids @> ARRAY[$1] OR o.webhook_ids IS NULL AND ${willMatch('$1', 'o.event_id')})
           AND o.event_id >= $2
           AND NOT EXISTS (
             SELECT FROM deliveries d
              WHERE d.webhook_id = $1 AND d.event_id = o.event_id
                AND d.id >= 'dlv_' || substr(o.event_id, 5, ${TIME_PART_LENGTH})
                AND d.id < 'dlv_' || substr(o.event_id, 5, ${TIME_PART_LENGTH}) || '~')
         LIMIT $3) o`,
};

/** Narrowed in SQL, before the limit: afterwards, fewer would be left than there are. */
export interface PendingFilter {
  /** `evt_` and the millisecond of the cursor: only events of that and older ones. */
  cursorTime?: string;
  /** Only of events with this id or a greater one. */
  from?: string;
  /** Only of events with a smaller id. */
  before?: string;
  /** Type or pattern of the event. */
  type?: string;
  /** Only of events that one of these patterns selects; undefined: of all. */
  topics: readonly string[] | undefined;
  isLeased?: boolean;
  /** At least so many events, if there are so many. */
  limit: number;
}

/**
 * Deliveries that have no row yet: they follow from the outbox row of their event. The API shows them
 * like all others, so that an accepted event is never invisible.
 */
@Injectable()
export class PendingDeliveriesStore {
  constructor(private readonly postgres: PostgresClient) {}

  async ofEvent(eventId: string): Promise<PendingDelivery[]> {
    const rows = await this.postgres.run<OutboxRow>(OF_EVENT, [eventId]);
    return rows.flatMap((row) => row.webhook_ids.map((id) => pending(row, id)));
  }

  /** By id, which holds the millisecond of its event. */
  async find(id: string): Promise<PendingDelivery | undefined> {
    const rows = await this.postgres.run<OutboxRow>(OF_MILLISECOND, [`evt_${timePart(id)}`]);
    return rows
      .flatMap((row) => row.webhook_ids.map((webhookId) => pending(row, webhookId)))
      .find((delivery) => delivery.id === id);
  }

  /**
   * Of one webhook, without a row.
   * @param from the smallest id of an event that counts
   * @param limit most deliveries to count
   */
  async count(webhookId: string, from: string, limit: number): Promise<PendingCounts> {
    const [counts] = await this.postgres.run<PendingCounts>(COUNT_OF_WEBHOOK, [
      webhookId,
      from,
      limit,
    ]);
    return counts!;
  }

  /**
   * The newest, not sorted.
   * @param webhookIds undefined: of all webhooks
   */
  async ofWebhooks(
    webhookIds: ReadonlySet<string> | undefined,
    { cursorTime, from, before, type, topics, isLeased, limit }: PendingFilter,
  ): Promise<PendingDelivery[]> {
    if (webhookIds?.size === 0) return [];
    const rows = await this.postgres.run<OutboxRow>(OF_WEBHOOKS, [
      webhookIds ? textList([...webhookIds]) : null,
      cursorTime ?? null,
      from ?? null,
      before ?? null,
      type ?? null,
      isLeased ?? null,
      limit,
      topics ?? null,
    ]);
    return rows.flatMap((row) =>
      row.webhook_ids.filter((id) => webhookIds?.has(id) ?? true).map((id) => pending(row, id)),
    );
  }
}

const pending = (row: OutboxRow, webhookId: string): PendingDelivery => ({
  id: deliveryId(row.event_id, webhookId),
  eventId: row.event_id,
  eventType: row.type,
  webhookId,
  isLeased: row.is_leased,
});

import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { type EntityManager, Repository, type SelectQueryBuilder } from 'typeorm';
import { attributionOf } from '../../shared/attribution.js';
import type { Actor } from '../../auth/principal.js';
import { type AuditAction, type Changes, changesOf } from '../../shared/audit.js';
import type { DeliveryStatus } from '../../shared/delivery-status.js';
import { matchesAnySql, matchesSql } from '../../shared/event-pattern.js';
import { firstSuffixAt, timePart } from '../../shared/ids.js';
import { AuditLogStore } from '../../database/audit-log.store.js';
import { DeliveryAttemptEntity } from '../../database/entities/delivery-attempt.entity.js';
import { DeliveryEntity } from '../../database/entities/delivery.entity.js';
import { EventEntity } from '../../database/entities/event.entity.js';
import { CHANNELS } from '../../database/notification.listener.js';
import { PostgresClient } from '../../database/postgres.client.js';
import { REQUEUE_SET, STILL_SENDABLE, STILL_SERVED } from '../requeue.statements.js';

/** Which deliveries; what is absent does not narrow. */
export interface DeliverySelection {
  /** Of these webhooks; undefined: of all. */
  webhookIds: ReadonlySet<string> | undefined;
  /** Of events that one of these patterns selects; undefined: of all. */
  topics: readonly string[] | undefined;
  status?: DeliveryStatus;
  /** Type or pattern of the event. */
  type?: string;
  since?: Date;
  until?: Date;
  /** Error class of the last attempt. */
  reason?: string;
  /** Only smaller ids. */
  beforeId: string | undefined;
  limit: number;
}

/** Why a delivery cannot be requeued. */
export interface RequeueObstacles {
  status: DeliveryStatus;
  isDeleted: boolean;
  disabledReason: string | null;
  /** By retention. */
  isDropped: boolean;
  isExpired: boolean | null;
}

/** Counted over the newest deliveries to one webhook. */
export interface DeliveryCounts {
  deliveries: number;
  attempts: number;
  /** p50, p95 and p99; null: no attempt was made. */
  latencies: [number, number, number] | null;
  byStatus: Partial<Record<DeliveryStatus, number>>;
  byError: Record<string, number>;
}

const TOPICS = 'CAST(:topics AS text[])';

/** One statement, so that of several requests and a worker one succeeds, and the others see that. */
const REQUEUE = `
  UPDATE deliveries d SET ${REQUEUE_SET}, requested_by = $3::jsonb
    FROM webhooks w, events e
   WHERE d.id = $1 AND d.status <> 'delivering' AND ($2::text IS NULL OR d.status = $2)
     AND w.id = d.webhook_id AND ${STILL_SERVED}
     AND e.id = d.event_id AND ${STILL_SENDABLE}
  RETURNING w.owner_id AS "ownerId"`;

/** In one statement, because a redrive may come at the same time. */
const CANCEL_DEAD_LETTER = `
  UPDATE deliveries d SET status = 'canceled', completed_at = now()
    FROM webhooks w
   WHERE d.id = $1 AND d.status = 'dead_letter' AND w.id = d.webhook_id
  RETURNING w.owner_id AS "ownerId"`;

/** What the statements above return. */
type Changed = [rows: { ownerId: string | null }[], count: number];

const OBSTACLES = `
  SELECT d.status, w.deleted_at IS NOT NULL AS "isDeleted", w.disabled_reason AS "disabledReason",
         e.id IS NULL AS "isDropped", e.expires_at <= now() AS "isExpired"
    FROM deliveries d JOIN webhooks w ON w.id = d.webhook_id LEFT JOIN events e ON e.id = d.event_id
   WHERE d.id = $1`;

/** In the order of the index, from its newest end, so the cost is bounded by the limit. */
const COUNT = {
  name: 'count-deliveries-of-webhook',
  text: `
    WITH recent AS MATERIALIZED (
      SELECT status, attempts, last_duration_ms, last_error FROM deliveries
       WHERE webhook_id = $1 AND id >= $2 ORDER BY id DESC LIMIT $3)
    SELECT (SELECT count(*) FROM recent)::int AS deliveries,
           (SELECT coalesce(sum(attempts), 0) FROM recent)::int AS attempts,
           (SELECT percentile_disc(ARRAY[0.5, 0.95, 0.99]::double precision[])
                     WITHIN GROUP (ORDER BY last_duration_ms)
              FROM recent WHERE last_duration_ms IS NOT NULL) AS latencies,
           (SELECT coalesce(json_object_agg(status, n), '{}')
              FROM (SELECT status, count(*) AS n FROM recent GROUP BY status) s) AS "byStatus",
           (SELECT coalesce(json_object_agg(last_error, n), '{}')
              FROM (SELECT last_error, count(*) AS n FROM recent
                     WHERE last_error IS NOT NULL GROUP BY last_error) e) AS "byError"`,
};

/** Deliveries that have a row, as the API reads and changes them. */
@Injectable()
export class DeliveriesStore {
  constructor(
    @InjectRepository(DeliveryEntity) private readonly deliveries: Repository<DeliveryEntity>,
    @InjectRepository(DeliveryAttemptEntity)
    private readonly attempts: Repository<DeliveryAttemptEntity>,
    @InjectRepository(EventEntity) private readonly events: Repository<EventEntity>,
    private readonly audit: AuditLogStore,
    private readonly postgres: PostgresClient,
  ) {}

  /** Newest first. */
  async list(selection: DeliverySelection): Promise<DeliveryEntity[]> {
    const { webhookIds, topics, status, type, reason, beforeId, limit } = selection;
    if (webhookIds?.size === 0) return [];
    const query = this.deliveries.createQueryBuilder('d').orderBy('d.id', 'DESC').limit(limit);
    if (webhookIds) query.andWhere('d.webhook_id = ANY(:ids)', { ids: [...webhookIds] });
    if (beforeId !== undefined) query.andWhere('d.id < :beforeId', { beforeId });
    if (topics) query.andWhere(matchesAnySql(TOPICS, 'd.event_type'), { topics: [...topics] });
    if (status) query.andWhere('d.status = :status', { status });
    if (reason) query.andWhere('d.last_error = :reason', { reason });
    whereAccepted(query, selection);
    if (type !== undefined) query.andWhere(matchesSql(':type', 'd.event_type'), { type });
    return query.getMany();
  }

  ofEvent(eventId: string): Promise<DeliveryEntity[]> {
    // The ids of an event's deliveries hold its millisecond: a short range of the primary key.
    const from = `dlv_${timePart(eventId)}`;
    return this.deliveries
      .createQueryBuilder('d')
      .where('d.id >= :from AND d.id < :to', { from, to: `${from}~` })
      .andWhere('d.event_id = :eventId', { eventId })
      .getMany();
  }

  /** The attempts that have rows of their own (all but the latest), newest first. */
  attemptsOf(deliveryId: string, limit: number): Promise<DeliveryAttemptEntity[]> {
    return this.attempts.find({
      where: { deliveryId },
      order: { startedAt: 'DESC' },
      take: limit,
    });
  }

  /** Null: retention has dropped it. */
  event(id: string): Promise<EventEntity | null> {
    return this.events.findOneBy({ id });
  }

  /** @returns whether it was one */
  cancelDeadLetter(id: string, actor: Actor): Promise<boolean> {
    return this.deliveries.manager.transaction(async (tx) => {
      const [rows] = await tx.query<Changed>(CANCEL_DEAD_LETTER, [id]);
      const changes = changesOf({ status: 'dead_letter' }, { status: 'canceled' });
      return this.record(tx, actor, 'delivery.canceled', { id, changes, rows });
    });
  }

  /**
   * Makes it pending again, with a new budget of attempts.
   * @param status what it has to be for that; undefined: anything but leased
   * @returns false if nothing was changed; see {@link obstacles}
   */
  requeue(
    { id, status: before }: Pick<DeliveryEntity, 'id' | 'status'>,
    status: DeliveryStatus | undefined,
    actor: Actor,
  ): Promise<boolean> {
    return this.deliveries.manager.transaction(async (tx) => {
      const requestedBy = attributionOf(actor);
      const [rows] = await tx.query<Changed>(REQUEUE, [id, status ?? null, requestedBy]);
      if (rows.length > 0) await tx.query(`SELECT pg_notify('${CHANNELS.due}', '')`);
      const changes = changesOf({ status: before }, { status: 'pending' });
      return this.record(tx, actor, 'delivery.redriven', { id, changes, rows });
    });
  }

  async obstacles(id: string): Promise<RequeueObstacles | undefined> {
    return (await this.deliveries.query<RequeueObstacles[]>(OBSTACLES, [id]))[0];
  }

  /** @param limit most deliveries to count; the newest */
  async count(webhookId: string, since: Date, limit: number): Promise<DeliveryCounts> {
    const from = `dlv_${firstSuffixAt(since.getTime())}`;
    const [counts] = await this.postgres.run<DeliveryCounts>(COUNT, [webhookId, from, limit]);
    return counts!;
  }

  /** @param change with the owner of the webhook, if the delivery was changed */
  private async record(
    tx: EntityManager,
    actor: Actor,
    action: AuditAction,
    { id, changes, rows }: { id: string; changes: Changes; rows: Changed[0] },
  ): Promise<boolean> {
    const [row] = rows;
    if (!row) return false;
    await this.audit.record(tx, actor, { action, resourceId: id, ...row, changes });
    return true;
  }
}

/** By id, which holds the time at which the event was accepted, so that an index serves it. */
function whereAccepted(
  query: SelectQueryBuilder<DeliveryEntity>,
  { since, until }: Pick<DeliverySelection, 'since' | 'until'>,
): void {
  if (since) query.andWhere('d.id >= :since', { since: `dlv_${firstSuffixAt(since.getTime())}` });
  if (until) query.andWhere('d.id < :until', { until: `dlv_${firstSuffixAt(until.getTime())}` });
}

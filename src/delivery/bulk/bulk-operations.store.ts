import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { DataSource, type EntityManager, In, LessThan } from 'typeorm';
import type { Attribution } from '../../shared/attribution.js';
import { FINAL_STATUSES, type DeliveryStatus } from '../../shared/delivery-status.js';
import { firstSuffixAt, timePart } from '../../shared/ids.js';
import { matchesAnySql, matchesSql, patternsOf } from '../../shared/event-pattern.js';
import { ownsSql, reachesSql } from '../../shared/visibility.js';
import {
  BulkOperationEntity,
  type BulkOperationKind,
  type BulkOperationStatus,
} from '../../database/entities/bulk-operation.entity.js';
import { DeliveryEntity } from '../../database/entities/delivery.entity.js';
import { CHANNELS } from '../../database/notification.listener.js';
import { STILL_SENDABLE, STILL_SERVED } from '../requeue.statements.js';

/** More are refused: the statement that selects them has to end well within its timeout. */
export const MAX_COUNT = 500_000;

/** What every operation is written with. */
export interface NewOperation {
  id: string;
  kind: BulkOperationKind;
  /** Who asks for it; it belongs to that owner. */
  requestedBy: Attribution;
  idempotencyKey: string | null;
  requestHash: string;
  /** Deliveries per slice. */
  sliceSize: number;
}

/** Which dead letters; what is absent does not narrow. */
export interface DeadLetterSelection {
  /** Owner of the webhooks. */
  ownerId?: string;
  ids?: readonly string[];
  webhookId?: string;
  type?: string;
  since?: Date;
  until?: Date;
  reason?: string;
  /** Of events that one of these patterns selects. */
  topics?: readonly string[];
}

/** Which events of one webhook. */
export interface RangeSelection {
  webhookId: string;
  since: Date;
  until?: Date;
  types?: readonly string[];
  /** Only events that one of these patterns selects, too. */
  topics?: readonly string[];
  /** Absent: all that are final, and events that the webhook never had. */
  status?: DeliveryStatus;
}

/** Which webhooks of one event. */
export interface RecipientSelection {
  event: { id: string; type: string };
  /** Owner of the webhooks. */
  ownerId?: string;
  webhookIds?: readonly string[];
}

/** Which operations; what is absent does not narrow. */
export interface OperationSelection {
  ownerId?: string;
  status?: BulkOperationStatus;
  /** Only smaller ids. */
  beforeId?: string;
}

/**
 * One statement, one snapshot: selects, counts and writes the deliveries. So the count is exact, and
 * later changes affect neither the count nor the selection. Deliveries that another operation has
 * selected and not worked off are left out: the same request twice sends everything once.
 *
 * @param candidates selects `webhook_id` and `event_id`, with its own parameters from $10 on
 */
const accept = (candidates: string): string => `
  WITH selected_before AS MATERIALIZED (
    SELECT webhook_id, unnest(event_ids) AS event_id FROM bulk_operation_slices),
  selected AS MATERIALIZED (
    SELECT c.webhook_id, c.event_id FROM (${candidates}) AS c
     WHERE NOT EXISTS (SELECT 1 FROM selected_before s
                        WHERE s.webhook_id = c.webhook_id AND s.event_id = c.event_id)
     LIMIT ${MAX_COUNT + 1}),
  accepted AS (
    INSERT INTO bulk_operations (id, kind, owner_id, idempotency_key, request_hash, from_statuses,
                                 may_create, requested_by, status, count, completed_at)
    SELECT $1::text, $2::text, $3::text, $4::text, $5::text, $6::text[], $7::boolean, $9::jsonb,
           CASE WHEN count > 0 THEN 'running' ELSE 'completed' END, count,
           CASE WHEN count = 0 THEN now() END
      FROM (SELECT count(*) FROM selected) AS total
     WHERE count <= ${MAX_COUNT}
    RETURNING id),
  targets AS (
    INSERT INTO bulk_operation_targets (operation_id, webhook_id)
    SELECT DISTINCT a.id, s.webhook_id FROM accepted a, selected s),
  numbered AS (
    SELECT s.*, (row_number() OVER (PARTITION BY webhook_id ORDER BY event_id) - 1)
                / $8::integer AS number
      FROM selected s),
  slices AS (
    INSERT INTO bulk_operation_slices (operation_id, webhook_id, number, event_ids)
    SELECT a.id, n.webhook_id, n.number, array_agg(n.event_id ORDER BY n.event_id)
      FROM accepted a, numbered n GROUP BY a.id, n.webhook_id, n.number)
  SELECT id FROM accepted`;

const REDRIVE = accept(`
  SELECT d.webhook_id, d.event_id
    FROM deliveries d
    JOIN webhooks w ON w.id = d.webhook_id AND ${STILL_SERVED}
    JOIN events e ON e.id = d.event_id AND ${STILL_SENDABLE}
   WHERE d.status = 'dead_letter'
     AND ${ownsSql('$10::text', 'w.owner_id')}
     AND ($11::text[] IS NULL OR d.id = ANY ($11))
     AND ($12::text IS NULL OR d.webhook_id = $12)
     AND ($13::text IS NULL OR ${matchesSql('$13', 'd.event_type')})
     AND d.id >= $14 AND d.id < $15
     AND ($16::text IS NULL OR d.last_error = $16)
     AND ($17::text[] IS NULL OR ${matchesAnySql('$17', 'd.event_type')})`);

const IS_VISIBLE = reachesSql('w.owner_id', 'e.owner_id');

/** A delivery without a row that the outbox still stands for. */
const IS_PENDING_ALREADY = `
  EXISTS (SELECT 1 FROM event_outbox o
           WHERE o.event_id = e.id AND (o.webhook_ids IS NULL OR w.id = ANY (o.webhook_ids)))`;

const REPLAY_RANGE = accept(`
  SELECT w.id AS webhook_id, e.id AS event_id
    FROM webhooks w
    JOIN events e ON ${STILL_SENDABLE} AND ${IS_VISIBLE}
    LEFT JOIN deliveries d ON d.webhook_id = $10 AND d.event_id = e.id AND d.id >= $11 AND d.id < $12
   WHERE w.id = $10 AND ${STILL_SERVED} AND e.id >= $13 AND e.id < $14
     AND ($15::text[] IS NULL OR ${matchesAnySql('$15', 'e.type')})
     AND ($17::text[] IS NULL OR ${matchesAnySql('$17', 'e.type')})
     AND CASE WHEN d.id IS NOT NULL THEN d.status = ANY ($6)
              ELSE $7 AND ${matchesAnySql('$16::text[]', 'e.type')}
                   AND NOT ${IS_PENDING_ALREADY} END`);

const REPLAY_EVENT = accept(`
  SELECT w.id AS webhook_id, e.id AS event_id
    FROM events e
    JOIN webhooks w ON ${STILL_SERVED} AND ${IS_VISIBLE}
    LEFT JOIN deliveries d
      ON d.event_id = e.id AND d.webhook_id = w.id AND d.id >= $11 AND d.id < $12
   WHERE e.id = $10 AND ${STILL_SENDABLE}
     AND ${ownsSql('$13::text', 'w.owner_id')}
     AND ($14::text[] IS NULL OR w.id = ANY ($14))
     AND CASE WHEN d.id IS NOT NULL THEN d.status = ANY ($6)
              ELSE $7 AND w.active AND w.events && $15::text[] AND NOT ${IS_PENDING_ALREADY} END`);

/** Until then they can be read, and their idempotency keys are known. */
const DELETE_OLD = `
  DELETE FROM bulk_operations WHERE completed_at < now() - interval '30 days'`;

/** Two requests at the same time would select the same deliveries. */
const LOCK = `SELECT pg_advisory_xact_lock(hashtext('tidings_bulk_operations'))`;

/** The table of bulk operations, and the deliveries that they are about. */
@Injectable()
export class BulkOperationsStore {
  constructor(@InjectDataSource() private readonly dataSource: DataSource) {}

  find(id: string, ownerId: string | undefined): Promise<BulkOperationEntity | null> {
    const owned = ownerId === undefined ? {} : { ownerId };
    return this.dataSource.manager.findOneBy(BulkOperationEntity, { id, ...owned });
  }

  /** Newest first. */
  list(
    { ownerId, status, beforeId }: OperationSelection,
    limit: number,
  ): Promise<BulkOperationEntity[]> {
    return this.dataSource.manager.find(BulkOperationEntity, {
      where: {
        ...(ownerId === undefined ? {} : { ownerId }),
        ...(status === undefined ? {} : { status }),
        ...(beforeId === undefined ? {} : { id: LessThan(beforeId) }),
      },
      order: { id: 'DESC' },
      take: limit,
    });
  }

  /** Those of these deliveries that exist. */
  deliveries(
    ids: readonly string[],
  ): Promise<Pick<DeliveryEntity, 'id' | 'webhookId' | 'eventType'>[]> {
    return this.dataSource.manager.find(DeliveryEntity, {
      select: { id: true, webhookId: true, eventType: true },
      where: { id: In(ids) },
    });
  }

  /** Runs it in a transaction until whose end no other request selects deliveries. */
  exclusively<Result>(work: (tx: EntityManager) => Promise<Result>): Promise<Result> {
    return this.dataSource.transaction(async (tx) => {
      await tx.query(LOCK);
      await tx.query(DELETE_OLD);
      return work(tx);
    });
  }

  findByKey(tx: EntityManager, ownerId: string, key: string): Promise<BulkOperationEntity | null> {
    return tx.findOneBy(BulkOperationEntity, { ownerId, idempotencyKey: key });
  }

  /** @returns null if there are more than {@link MAX_COUNT}; then nothing was written */
  redrive(
    tx: EntityManager,
    operation: NewOperation,
    { ownerId, ids, webhookId, type, since, until, reason, topics }: DeadLetterSelection,
  ): Promise<BulkOperationEntity | null> {
    return this.write(tx, REDRIVE, operation, ['dead_letter'], false, [
      ownerId ?? null,
      ids ?? null,
      webhookId ?? null,
      type ?? null,
      firstAt('dlv', since),
      endAt('dlv', until),
      reason ?? null,
      topics ?? null,
    ]);
  }

  /** @returns null if there are more than {@link MAX_COUNT}; then nothing was written */
  async replayRange(
    tx: EntityManager,
    operation: NewOperation,
    { webhookId, since, until, types, topics, status }: RangeSelection,
    webhookPatterns: readonly string[],
  ): Promise<BulkOperationEntity | null> {
    const from = status === undefined ? FINAL_STATUSES : [status];
    return this.write(tx, REPLAY_RANGE, operation, from, status === undefined, [
      webhookId,
      firstAt('dlv', since),
      endAt('dlv', until),
      firstAt('evt', since),
      endAt('evt', until),
      types ?? null,
      webhookPatterns,
      topics ?? null,
    ]);
  }

  replayEvent(
    tx: EntityManager,
    operation: NewOperation,
    { event, ownerId, webhookIds }: RecipientSelection,
  ): Promise<BulkOperationEntity | null> {
    const sameTime = `dlv_${timePart(event.id)}`;
    return this.write(tx, REPLAY_EVENT, operation, FINAL_STATUSES, true, [
      event.id,
      sameTime,
      `${sameTime}~`,
      ownerId ?? null,
      webhookIds ?? null,
      patternsOf(event.type),
    ]);
  }

  /**
   * Leaves deliveries that were not requeued yet as they are. In this order, because a step locks its
   * target first, then its slices, and the counters last.
   * @param record called in the transaction, if it was running
   */
  cancel(id: string, record: (tx: EntityManager) => Promise<void>): Promise<void> {
    return this.dataSource.transaction(async (tx) => {
      await tx.query(`DELETE FROM bulk_operation_targets WHERE operation_id = $1`, [id]);
      await tx.query(`DELETE FROM bulk_operation_slices WHERE operation_id = $1`, [id]);
      const [, changed] = await tx.query<[unknown, number]>(
        `UPDATE bulk_operations SET status = 'canceled', completed_at = now()
          WHERE id = $1 AND status = 'running'`,
        [id],
      );
      if (changed > 0) await record(tx);
    });
  }

  private async write(
    tx: EntityManager,
    statement: string,
    { id, kind, requestedBy, idempotencyKey, requestHash, sliceSize }: NewOperation,
    fromStatuses: readonly DeliveryStatus[],
    mayCreate: boolean,
    parameters: unknown[],
  ): Promise<BulkOperationEntity | null> {
    await tx.query(statement, [
      id,
      kind,
      requestedBy.ownerId,
      idempotencyKey,
      requestHash,
      fromStatuses,
      mayCreate,
      sliceSize,
      requestedBy,
      ...parameters,
    ]);
    // Sent by PostgreSQL with the commit.
    await tx.query(`SELECT pg_notify('${CHANNELS.operations}', '')`);
    return tx.findOneBy(BulkOperationEntity, { id });
  }
}

const firstAt = (prefix: 'evt' | 'dlv', time: Date | undefined): string =>
  `${prefix}_${time ? firstSuffixAt(time.getTime()) : ''}`;

/** Greater than every id that is older; without a time, than every id. */
const endAt = (prefix: 'evt' | 'dlv', time: Date | undefined): string =>
  `${prefix}_${time ? firstSuffixAt(time.getTime()) : '~'}`;

import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { FINAL_STATUSES, type DeliveryStatus } from '../../shared/delivery-status.js';
import { firstSuffixAt, timePart } from '../../shared/ids.js';
import { matchesAnySql, matchesSql, patternsOf } from '../../shared/event-pattern.js';
import { ownsSql, reachesSql } from '../../shared/visibility.js';
import {
  BulkOperationEntity,
  type BulkOperationKind,
} from '../../database/entities/bulk-operation.entity.js';
import { CHANNELS } from '../../database/notification.listener.js';
import { STILL_SENDABLE, STILL_SERVED } from './requeue.js';

/** More are refused: the statement that fixes the set has to end well within its timeout. */
export const MAX_COUNT = 500_000;

/** What every operation is written with. */
export interface NewOperation {
  id: string;
  kind: BulkOperationKind;
  /** Who asks for it. */
  requestedBy: string;
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
}

/** Which events of one webhook. */
export interface RangeSelection {
  webhookId: string;
  since: Date;
  until?: Date;
  types?: readonly string[];
  /** Absent: all that have ended, and those that the webhook never had. */
  status?: DeliveryStatus;
}

/** Which webhooks of one event. */
export interface RecipientSelection {
  event: { id: string; type: string };
  /** Owner of the webhooks. */
  ownerId?: string;
  webhookIds?: readonly string[];
}

/**
 * One statement, one snapshot: chooses, counts, and writes down what was chosen. So the count is
 * exact, and what changes afterwards changes neither the count nor the set. What another operation
 * has chosen and not yet worked off is left to it: the same request twice sends everything once.
 *
 * @param candidates selects `webhook_id` and `event_id`, with its own parameters from $9 on
 */
const written = (candidates: string): string => `
  WITH taken AS MATERIALIZED (
    SELECT webhook_id, unnest(event_ids) AS event_id FROM bulk_operation_slices),
  chosen AS MATERIALIZED (
    SELECT c.webhook_id, c.event_id FROM (${candidates}) AS c
     WHERE NOT EXISTS (SELECT 1 FROM taken t
                        WHERE t.webhook_id = c.webhook_id AND t.event_id = c.event_id)
     LIMIT ${MAX_COUNT + 1}),
  accepted AS (
    INSERT INTO bulk_operations (id, kind, owner_id, idempotency_key, request_hash, from_statuses,
                                 may_create, status, count, completed_at)
    SELECT $1::text, $2::text, $3::text, $4::text, $5::text, $6::text[], $7::boolean, CASE WHEN count > 0 THEN 'running' ELSE 'completed' END,
           count, CASE WHEN count = 0 THEN now() END
      FROM (SELECT count(*) FROM chosen) AS total
     WHERE count <= ${MAX_COUNT}
    RETURNING id),
  targets AS (
    INSERT INTO bulk_operation_targets (operation_id, webhook_id)
    SELECT DISTINCT a.id, c.webhook_id FROM accepted a, chosen c),
  numbered AS (
    SELECT c.*, (row_number() OVER (PARTITION BY webhook_id ORDER BY event_id) - 1) / $8::integer AS number
      FROM chosen c),
  slices AS (
    INSERT INTO bulk_operation_slices (operation_id, webhook_id, number, event_ids)
    SELECT a.id, n.webhook_id, n.number, array_agg(n.event_id ORDER BY n.event_id)
      FROM accepted a, numbered n GROUP BY a.id, n.webhook_id, n.number)
  SELECT id FROM accepted`;

const REDRIVE = written(`
  SELECT d.webhook_id, d.event_id
    FROM deliveries d
    JOIN webhooks w ON w.id = d.webhook_id AND ${STILL_SERVED}
    JOIN events e ON e.id = d.event_id AND ${STILL_SENDABLE}
   WHERE d.status = 'dead_letter'
     AND ${ownsSql('$9::text', 'w.owner_id')}
     AND ($10::text[] IS NULL OR d.id = ANY ($10))
     AND ($11::text IS NULL OR d.webhook_id = $11)
     AND ($12::text IS NULL OR ${matchesSql('$12', 'd.event_type')})
     AND d.id >= $13 AND d.id < $14
     AND ($15::text IS NULL OR d.last_error = $15)`);

const IS_VISIBLE = reachesSql('w.owner_id', 'e.owner_id');

/** Of a delivery without a row: somebody has it still to match, or to try for the first time. */
const IS_OWED_ALREADY = `
  EXISTS (SELECT 1 FROM event_outbox b
           WHERE b.event_id = e.id AND (b.webhook_ids IS NULL OR w.id = ANY (b.webhook_ids)))`;

const REPLAY_RANGE = written(`
  SELECT w.id AS webhook_id, e.id AS event_id
    FROM webhooks w
    JOIN events e ON ${STILL_SENDABLE} AND ${IS_VISIBLE}
    LEFT JOIN deliveries d ON d.webhook_id = $9 AND d.event_id = e.id AND d.id >= $10 AND d.id < $11
   WHERE w.id = $9 AND ${STILL_SERVED} AND e.id >= $12 AND e.id < $13
     AND ($14::text[] IS NULL OR ${matchesAnySql('$14', 'e.type')})
     AND CASE WHEN d.id IS NOT NULL THEN d.status = ANY ($6)
              ELSE $7 AND ${matchesAnySql('$15::text[]', 'e.type')} AND NOT ${IS_OWED_ALREADY} END`);

const REPLAY_EVENT = written(`
  SELECT w.id AS webhook_id, e.id AS event_id
    FROM events e
    JOIN webhooks w ON ${STILL_SERVED} AND ${IS_VISIBLE}
    LEFT JOIN deliveries d
      ON d.event_id = e.id AND d.webhook_id = w.id AND d.id >= $10 AND d.id < $11
   WHERE e.id = $9 AND ${STILL_SENDABLE}
     AND ${ownsSql('$12::text', 'w.owner_id')}
     AND ($13::text[] IS NULL OR w.id = ANY ($13))
     AND CASE WHEN d.id IS NOT NULL THEN d.status = ANY ($6)
              ELSE $7 AND w.active AND w.events && $14::text[] AND NOT ${IS_OWED_ALREADY} END`);

/** Ended ones are kept for whoever asks how they went, and so that their keys are known. */
const FORGET_OLD = `
  DELETE FROM bulk_operations WHERE completed_at < now() - interval '30 days'`;

/** Two requests that choose at the same time would choose the same. */
const ONE_AT_A_TIME = `SELECT pg_advisory_xact_lock(hashtext('tidings_bulk_operations'))`;

/** Writes down what bulk operations are about, in the transaction of whoever asks. */
@Injectable()
export class BulkOperationsStore {
  /** Until the transaction ends, nobody else chooses. */
  async lock(tx: EntityManager): Promise<void> {
    await tx.query(ONE_AT_A_TIME);
    await tx.query(FORGET_OLD);
  }

  findByKey(tx: EntityManager, ownerId: string, key: string): Promise<BulkOperationEntity | null> {
    return tx.findOneBy(BulkOperationEntity, { ownerId, idempotencyKey: key });
  }

  /** @returns null if there are more than {@link MAX_COUNT}: then nothing was written */
  redrive(
    tx: EntityManager,
    operation: NewOperation,
    { ownerId, ids, webhookId, type, since, until, reason }: DeadLetterSelection,
  ): Promise<BulkOperationEntity | null> {
    return this.write(tx, REDRIVE, operation, ['dead_letter'], false, [
      ownerId ?? null,
      ids ?? null,
      webhookId ?? null,
      type ?? null,
      firstAt('dlv', since),
      endAt('dlv', until),
      reason ?? null,
    ]);
  }

  /** @returns null if there are more than {@link MAX_COUNT}: then nothing was written */
  async replayRange(
    tx: EntityManager,
    operation: NewOperation,
    { webhookId, since, until, types, status }: RangeSelection,
    patterns: readonly string[],
  ): Promise<BulkOperationEntity | null> {
    const from = status === undefined ? FINAL_STATUSES : [status];
    return this.write(tx, REPLAY_RANGE, operation, from, status === undefined, [
      webhookId,
      firstAt('dlv', since),
      endAt('dlv', until),
      firstAt('evt', since),
      endAt('evt', until),
      types ?? null,
      patterns,
    ]);
  }

  replayEvent(
    tx: EntityManager,
    operation: NewOperation,
    { event, ownerId, webhookIds }: RecipientSelection,
  ): Promise<BulkOperationEntity | null> {
    const ofItsTime = `dlv_${timePart(event.id)}`;
    return this.write(tx, REPLAY_EVENT, operation, FINAL_STATUSES, true, [
      event.id,
      ofItsTime,
      `${ofItsTime}~`,
      ownerId ?? null,
      webhookIds ?? null,
      patternsOf(event.type),
    ]);
  }

  /**
   * What had not had its turn stays as it is. In this order: whoever works on a target holds its row,
   * then takes slices, and counts at last.
   */
  async cancel(tx: EntityManager, id: string): Promise<void> {
    await tx.query(`DELETE FROM bulk_operation_targets WHERE operation_id = $1`, [id]);
    await tx.query(`DELETE FROM bulk_operation_slices WHERE operation_id = $1`, [id]);
    await tx.query(
      `UPDATE bulk_operations SET status = 'canceled', completed_at = now()
        WHERE id = $1 AND status = 'running'`,
      [id],
    );
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
      requestedBy,
      idempotencyKey,
      requestHash,
      fromStatuses,
      mayCreate,
      sliceSize,
      ...parameters,
    ]);
    // Sent by PostgreSQL with the commit.
    await tx.query(`SELECT pg_notify('${CHANNELS.operations}', '')`);
    return tx.findOneBy(BulkOperationEntity, { id });
  }
}

const firstAt = (prefix: 'evt' | 'dlv', time: Date | undefined): string =>
  `${prefix}_${time ? firstSuffixAt(time.getTime()) : ''}`;

/** Greater than every id that is earlier; absent: than every id. */
const endAt = (prefix: 'evt' | 'dlv', time: Date | undefined): string =>
  `${prefix}_${time ? firstSuffixAt(time.getTime()) : '~'}`;

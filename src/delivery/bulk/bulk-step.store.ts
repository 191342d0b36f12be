import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import type { Attribution } from '../../shared/attribution.js';
import type { DeliveryStatus } from '../../shared/delivery-status.js';
import { CHANNELS } from '../../database/notification.listener.js';
import { PostgresClient } from '../../database/postgres.client.js';
import { REQUEUE_DUE, REQUEUE_SET, STILL_SENDABLE, STILL_SERVED } from '../requeue.statements.js';

/** Slices read in one step, at most; with the default bound, all that can fit. */
export const SLICES_PER_STEP = 8;

/** What a bulk operation still has to do for one webhook. */
export interface Target {
  operationId: string;
  webhookId: string;
  /** Deliveries that it has requeued, and that were not final at its last step. */
  openIds: string[];
  /** The wait before this step. */
  waitMs: number;
  fromStatuses: DeliveryStatus[];
  mayCreate: boolean;
  /** Who asked for the operation; null: before this was recorded. */
  requestedBy: Attribution | null;
}

export interface Slice {
  number: number;
  eventIds: string[];
}

/** A delivery by its event: the webhook is that of the target. */
export interface Item {
  id: string;
  eventId: string;
}

const LOCK_NEXT = `
  SELECT t.operation_id AS "operationId", t.webhook_id AS "webhookId", t.open_ids AS "openIds",
         t.wait_ms AS "waitMs", o.from_statuses AS "fromStatuses", o.may_create AS "mayCreate",
         o.requested_by AS "requestedBy"
    FROM bulk_operation_targets t JOIN bulk_operations o ON o.id = t.operation_id
   WHERE t.due_at <= now() ORDER BY t.due_at LIMIT 1
     FOR UPDATE OF t SKIP LOCKED`;

const STILL_OPEN = `
  SELECT id FROM deliveries
   WHERE id = ANY ($1::text[]) AND status IN ('pending', 'delivering', 'retrying')`;

const NEXT_SLICES = `
  SELECT number, event_ids AS "eventIds" FROM bulk_operation_slices
   WHERE operation_id = $1 AND webhook_id = $2 ORDER BY number LIMIT ${SLICES_PER_STEP}`;

/**
 * Only deliveries that are still in a state that was asked for, of an event and a webhook that still
 * exist.
 */
const REQUEUE = `
  WITH item AS (
    SELECT i.id, e.id AS event_id, e.type, e.priority, e.created_at, e.expires_at
      FROM unnest($1::text[], $2::text[]) AS i(id, event_id)
      JOIN events e ON e.id = i.event_id AND ${STILL_SENDABLE}),
  webhook AS (SELECT w.* FROM webhooks w WHERE w.id = $3 AND ${STILL_SERVED}),
  requeued AS (
    UPDATE deliveries d SET ${REQUEUE_SET}, requested_by = $6::jsonb
      FROM item, webhook w
     WHERE d.id = item.id AND d.status = ANY ($4::text[])
    RETURNING d.id),
  created AS (
    INSERT INTO deliveries (id, event_id, webhook_id, event_type, priority, status, attempts,
                            due_at, created_at, expires_at, requested_by)
    SELECT item.id, item.event_id, w.id, item.type, item.priority, 'pending', 0, ${REQUEUE_DUE},
           item.created_at, item.expires_at, $6::jsonb
      FROM item, webhook w
     WHERE $5::boolean AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.id = item.id)
    ON CONFLICT (id) DO NOTHING
    RETURNING id)
  SELECT id FROM requeued UNION ALL SELECT id FROM created`;

const NOTIFY_DUE = `SELECT pg_notify('${CHANNELS.due}', '')`;

const DELETE_SLICES = `
  DELETE FROM bulk_operation_slices
   WHERE operation_id = $1 AND webhook_id = $2 AND number <= $3`;

/** Ends by its counters, not by what is left: two nodes may work on the last two slices at once. */
const COUNT = `
  UPDATE bulk_operations
     SET done = done + $2, skipped = skipped + $3,
         status = CASE WHEN status = 'running' AND done + skipped + $2 + $3 >= count
                       THEN 'completed' ELSE status END,
         completed_at = CASE WHEN status = 'running' AND done + skipped + $2 + $3 >= count
                             THEN now() ELSE completed_at END
   WHERE id = $1`;

const POSTPONE = `
  UPDATE bulk_operation_targets
     SET open_ids = $3, wait_ms = $4::integer, due_at = now() + $4::integer * interval '1 ms'
   WHERE operation_id = $1 AND webhook_id = $2`;

const FINISH = `DELETE FROM bulk_operation_targets WHERE operation_id = $1 AND webhook_id = $2`;

/** If something has been due for so long, bulk operations pause. */
const BEHIND_MS = 2_000;

const NEXT = {
  name: 'next-bulk-operation-target',
  text: `
    SELECT ceil(extract(epoch FROM min(due_at) - now()) * 1000)::int AS "inMs",
           min(due_at) IS NOT NULL AND (
             EXISTS (SELECT 1 FROM deliveries WHERE due_at < now() - interval '${BEHIND_MS} ms') OR
             EXISTS (SELECT 1 FROM event_outbox WHERE due_at < now() - interval '${BEHIND_MS} ms')
           ) AS "isBehind"
      FROM bulk_operation_targets`,
};

/** The statements of a step; see `BulkStep`. */
@Injectable()
export class BulkStepStore {
  constructor(private readonly postgres: PostgresClient) {}

  /**
   * In how many milliseconds the next target is due; null: there is none.
   * `isBehind`: the workers are late with what is due already.
   */
  async next(): Promise<{ inMs: number | null; isBehind: boolean }> {
    const [row] = await this.postgres.run<{ inMs: number | null; isBehind: boolean }>(NEXT, []);
    return row!;
  }

  /**
   * Runs it in a transaction that locks the target that has been due for longest.
   * @returns false if none is due that no other node has locked
   */
  withNextTarget(work: (tx: EntityManager, target: Target) => Promise<void>): Promise<boolean> {
    return this.postgres.dataSource.transaction(async (tx) => {
      const [target] = await tx.query<Target[]>(LOCK_NEXT);
      if (!target) return false;
      await work(tx, target);
      return true;
    });
  }

  async stillOpen(tx: EntityManager, ids: readonly string[]): Promise<string[]> {
    if (ids.length === 0) return [];
    const rows = await tx.query<{ id: string }[]>(STILL_OPEN, [ids]);
    return rows.map(({ id }) => id);
  }

  nextSlices(tx: EntityManager, { operationId, webhookId }: Target): Promise<Slice[]> {
    return tx.query<Slice[]>(NEXT_SLICES, [operationId, webhookId]);
  }

  /** @returns ids of the deliveries that are pending again; the others had changed meanwhile */
  async requeue(
    tx: EntityManager,
    { webhookId, fromStatuses, mayCreate, requestedBy }: Target,
    items: readonly Item[],
  ): Promise<string[]> {
    const rows = await tx.query<{ id: string }[]>(REQUEUE, [
      items.map(({ id }) => id),
      items.map(({ eventId }) => eventId),
      webhookId,
      fromStatuses,
      mayCreate,
      requestedBy,
    ]);
    if (rows.length > 0) await tx.query(NOTIFY_DUE);
    return rows.map(({ id }) => id);
  }

  /** These slices, and those before them. */
  async deleteSlices(
    tx: EntityManager,
    { operationId, webhookId }: Target,
    slices: readonly Slice[],
  ): Promise<void> {
    await tx.query(DELETE_SLICES, [operationId, webhookId, slices.at(-1)!.number]);
  }

  async count(
    tx: EntityManager,
    { operationId }: Target,
    done: number,
    skipped: number,
  ): Promise<void> {
    await tx.query(COUNT, [operationId, done, skipped]);
  }

  async postpone(
    tx: EntityManager,
    { operationId, webhookId }: Target,
    openIds: readonly string[],
    waitMs: number,
  ): Promise<void> {
    await tx.query(POSTPONE, [operationId, webhookId, openIds, waitMs]);
  }

  async finish(tx: EntityManager, { operationId, webhookId }: Target): Promise<void> {
    await tx.query(FINISH, [operationId, webhookId]);
  }
}

import { Injectable } from '@nestjs/common';
import { bulk, number, text, textColumn, texts } from '../../database/bulk.js';
import { rowOf } from '../../database/keyed-lookup.js';
import { PostgresClient } from '../../database/postgres.client.js';
import { needsExclusiveLeaseSql } from '../../webhooks/dispatch-policy.dto.js';
import { LEASED_EVENTS, WITH_LEASED_EVENTS } from '../leases/lease.statements.js';
import type { DeliveryTask } from '../sending/task.js';
import { interruptedAttempt } from './interrupted.statements.js';

/** An outbox row that this process has claimed, with its event. */
export interface ClaimedEvent {
  id: string;
  ownerId: string | null;
  type: string;
  subject: string | null;
  body: string;
  priority: number;
  expiresAtMs: number | undefined;
  /** Null: neither matched to webhooks nor sent to live connections yet. */
  webhookIds: string[] | null;
  /** It was claimed before: some of its deliveries may have an outcome already. */
  wasTaken: boolean;
  /** Leases in a row that ended without all outcomes. */
  lostLeases: number;
}

interface ClaimRow {
  id: string;
  owner_id: string | null;
  type: string;
  subject: string | null;
  body: string;
  priority: number;
  expires_at: Date | null;
  webhook_ids: string[] | null;
  was_taken: boolean;
  lost_leases: number;
}

/** Stands for a token: the row was claimed, and its lease was released in order. */
const RELEASED = 'released';

/** @param condition of the rows to claim */
const claim = (condition: string): string => `
  WITH pending AS MATERIALIZED (
    SELECT event_id, lease_token FROM event_outbox WHERE ${condition} FOR UPDATE SKIP LOCKED),
  claimed AS (
    UPDATE event_outbox
       SET lease_token = $1, due_at = now() + $2 * interval '1 ms',
           lost_leases = lost_leases + (lease_token <> '${RELEASED}' IS TRUE)::int
     WHERE event_id = ANY (ARRAY(SELECT event_id FROM pending))
    RETURNING event_id, webhook_ids, lost_leases)
  SELECT e.*, claimed.webhook_ids, claimed.lost_leases,
         e.id = ANY (ARRAY(SELECT event_id FROM pending WHERE lease_token IS NOT NULL)) AS was_taken
    FROM claimed CROSS JOIN ${rowOf(
      'events',
      'id, owner_id, type, subject, body, priority, expires_at',
      'id = claimed.event_id',
    )} AS e`;

/** Those that were handed over by id and are not claimed yet. */
const CLAIM_HANDED_OVER = {
  name: 'claim-handed-over-events',
  text: claim(`event_id = ANY (${texts(3)}) AND lease_token IS NULL`),
};

/** Those that are due: never claimed, released, or with a lost lease. */
const CLAIM_DUE = {
  name: 'claim-due-events',
  text: claim(`due_at <= now() ORDER BY due_at LIMIT $3`),
};

const FORGET = {
  name: 'forget-events',
  text: `DELETE FROM event_outbox WHERE event_id = ANY (${texts(1)}) AND lease_token = $2`,
};

const RELEASE = {
  name: 'release-events',
  text: `${WITH_LEASED_EVENTS}
    UPDATE event_outbox SET due_at = now(), lease_token = '${RELEASED}'
     WHERE event_id = ANY (ARRAY(SELECT event_id FROM leased))`,
};

/** The first attempts of events with a lost lease, as rows. */
const SPLIT_TASKS = bulk<DeliveryTask>({
  id: text(({ deliveryId }) => deliveryId),
  event_id: text(({ event }) => event.id),
  webhook_id: text(({ webhookId }) => webhookId),
  event_type: text(({ event }) => event.type),
  priority: number('smallint', ({ event }) => event.priority),
});

/**
 * Each delivery gets a row of its own in place of the outbox row of the event, with the attempt that
 * was made under the lost lease. It is due at once; for an exclusive webhook it is deferred at once,
 * since between the two it would be missing in the order.
 */
const SPLIT = {
  name: 'split-events',
  text: `
    WITH forgotten AS (
      DELETE FROM event_outbox WHERE event_id = ANY (${texts(1)}) AND lease_token = $2
      RETURNING event_id, lost_leases, expires_at)
    INSERT INTO deliveries (id, event_id, webhook_id, event_type, priority, status, attempts,
                            budget_start, due_at, lost_leases, expires_at, last_error,
                            last_attempt_at, last_duration_ms, last_status_code,
                            last_attempt_error, last_response_body, last_attempt_message,
                            last_attempt_resent)
    SELECT d.id, d.event_id, d.webhook_id, d.event_type, d.priority,
           CASE WHEN a.number IS NULL THEN 'pending' ELSE 'retrying' END, coalesce(a.number, 0),
           coalesce(a.number, 0), CASE WHEN ${needsExclusiveLeaseSql('w')} THEN NULL ELSE now() END,
           forgotten.lost_leases, forgotten.expires_at, a.error,
           a.started_at, a.duration_ms, a.status_code, a.error, a.response_body, a.error_message,
           a.resent
      FROM forgotten JOIN ${SPLIT_TASKS.unnest('d', 3)} ON d.event_id = forgotten.event_id
      LEFT JOIN webhooks w ON w.id = d.webhook_id
      LEFT JOIN ${interruptedAttempt('d.id', '0')} AS a ON true
    ON CONFLICT DO NOTHING`,
};

const EXISTING = {
  name: 'existing-deliveries',
  text: `SELECT id FROM deliveries WHERE id = ANY (${texts(1)})`,
};

/** Events with first attempts to make, as rows of `event_outbox`. */
@Injectable()
export class OutboxStore {
  constructor(private readonly postgres: PostgresClient) {}

  /** Claims events that were handed over. */
  async claim(
    eventIds: readonly string[],
    token: string,
    leaseMs: number,
  ): Promise<ClaimedEvent[]> {
    const values = [token, leaseMs, idColumn(eventIds)];
    return (await this.postgres.run<ClaimRow>(CLAIM_HANDED_OVER, values)).map(toClaimedEvent);
  }

  /** Claims events that are due, the longest due first. */
  async claimDue(limit: number, token: string, leaseMs: number): Promise<ClaimedEvent[]> {
    const values = [token, leaseMs, limit];
    return (await this.postgres.run<ClaimRow>(CLAIM_DUE, values)).map(toClaimedEvent);
  }

  /** Of these deliveries, the ones whose first outcome is already written. */
  async existing(deliveryIds: readonly string[]): Promise<Set<string>> {
    if (deliveryIds.length === 0) return new Set();
    const rows = await this.postgres.run<{ id: string }>(EXISTING, [idColumn(deliveryIds)]);
    return new Set(rows.map((row) => row.id));
  }

  /** Ends the work on events of which every matched webhook has an outcome. */
  async forget(eventIds: readonly string[], token: string): Promise<void> {
    await this.postgres.run(FORGET, [idColumn(eventIds), token]);
  }

  /** Gives the deliveries of these tasks rows of their own, which say what became of each attempt. */
  async split(tasks: readonly DeliveryTask[], token: string): Promise<void> {
    const eventIds = [...new Set(tasks.map(({ event }) => event.id))];
    await this.postgres.run(SPLIT, [idColumn(eventIds), token, ...SPLIT_TASKS.values(tasks)]);
  }

  /** Ends leases before their time, so that another worker can claim the events at once. */
  async release(leased: readonly { eventId: string; token: string }[]): Promise<void> {
    await this.postgres.run(RELEASE, LEASED_EVENTS.values(leased));
  }
}

const idColumn = (ids: readonly string[]): string => textColumn(ids, (id) => id);

const toClaimedEvent = (row: ClaimRow): ClaimedEvent => ({
  id: row.id,
  ownerId: row.owner_id,
  type: row.type,
  subject: row.subject,
  body: row.body,
  priority: row.priority,
  expiresAtMs: row.expires_at?.getTime(),
  webhookIds: row.webhook_ids,
  wasTaken: row.was_taken,
  lostLeases: row.lost_leases,
});

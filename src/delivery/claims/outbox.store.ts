import { Injectable } from '@nestjs/common';
import { literalColumn, textColumn, texts } from '../../database/bulk.js';
import { rowOf } from '../../database/keyed-lookup.js';
import { PostgresClient } from '../../database/postgres.client.js';
import type { DeliveryTask } from '../sending/task.js';
import { WITH_LEASED_EVENTS } from './leased-events.js';

/** An outbox row that this process holds now, with its event. */
export interface ClaimedEvent {
  id: string;
  ownerId: string | null;
  type: string;
  subject: string | null;
  body: string;
  priority: number;
  expiresAtMs: number | undefined;
  /** Null: nobody has matched it yet, nor told the sockets. */
  webhookIds: string[] | null;
  /** Somebody held it before: some of its deliveries may have an outcome already. */
  wasTaken: boolean;
  /** Leases that ended without all outcomes. */
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

/** Stands for the token of an owner that gave a row back in order. */
const RELEASED = 'released';

/** @param taken the rows, locked, with the token that they had */
const take = (taken: string): string => `
  WITH taken AS MATERIALIZED (
    SELECT event_id, lease_token FROM event_outbox WHERE ${taken} FOR UPDATE SKIP LOCKED),
  claimed AS (
    UPDATE event_outbox
       SET lease_token = $1, due_at = now() + $2 * interval '1 ms',
           lost_leases = lost_leases + (lease_token <> '${RELEASED}' IS TRUE)::int
     WHERE event_id = ANY (ARRAY(SELECT event_id FROM taken))
    RETURNING event_id, webhook_ids, lost_leases)
  SELECT e.*, claimed.webhook_ids, claimed.lost_leases,
         e.id = ANY (ARRAY(SELECT event_id FROM taken WHERE lease_token IS NOT NULL)) AS was_taken
    FROM claimed CROSS JOIN ${rowOf(
      'events',
      'id, owner_id, type, subject, body, priority, expires_at',
      'id = claimed.event_id',
    )} AS e`;

/** Those that were handed over by id, if nobody has taken them since. */
const CLAIM_HANDED_OVER = {
  name: 'claim-events-handed-over',
  text: take(`event_id = ANY (${texts(3)}) AND lease_token IS NULL`),
};

/** Those that fell due: never taken, or taken by a worker whose lease has ended. */
const CLAIM_DUE = {
  name: 'claim-events-due',
  text: take(`due_at <= now() ORDER BY due_at LIMIT $3`),
};

const FORGET = {
  name: 'forget-events',
  text: `DELETE FROM event_outbox WHERE event_id = ANY (${texts(1)}) AND lease_token = $2`,
};

const RELEASE = {
  name: 'release-events',
  text: `${WITH_LEASED_EVENTS}
    UPDATE event_outbox SET due_at = now(), lease_token = '${RELEASED}'
     WHERE event_id = ANY (ARRAY(SELECT event_id FROM held))`,
};

/** Each delivery gets a row of its own, due at once, and nothing is owed for the event any more. */
const SPLIT = {
  name: 'split-events',
  text: `
    WITH held AS (
      DELETE FROM event_outbox WHERE event_id = ANY (${texts(1)}) AND lease_token = $2
      RETURNING event_id, lost_leases, expires_at)
    INSERT INTO deliveries (id, event_id, webhook_id, event_type, priority, status, attempts,
                            due_at, lost_leases, expires_at)
    SELECT d.id, d.event_id, d.webhook_id, d.event_type, d.priority, 'pending', 0, now(),
           held.lost_leases, held.expires_at
      FROM held JOIN unnest(${texts(3)}, ${texts(4)}, ${texts(5)}, ${texts(6)}, $7::smallint[])
           AS d(id, event_id, webhook_id, event_type, priority) ON d.event_id = held.event_id
    ON CONFLICT DO NOTHING`,
};

const EXISTING = {
  name: 'existing-deliveries',
  text: `SELECT id FROM deliveries WHERE id = ANY (${texts(1)})`,
};

/** What is owed and not yet tried, as rows of `event_outbox`. */
@Injectable()
export class OutboxStore {
  constructor(private readonly postgres: PostgresClient) {}

  async claim(
    eventIds: readonly string[],
    token: string,
    leaseMs: number,
  ): Promise<ClaimedEvent[]> {
    const ids = eventIds.join('\u001e');
    const rows = await this.postgres.run<ClaimRow>(CLAIM_HANDED_OVER, [token, leaseMs, ids]);
    return rows.map(toClaimedEvent);
  }

  async claimDue(limit: number, token: string, leaseMs: number): Promise<ClaimedEvent[]> {
    const rows = await this.postgres.run<ClaimRow>(CLAIM_DUE, [token, leaseMs, limit]);
    return rows.map(toClaimedEvent);
  }

  /** Of these deliveries, the ones whose first outcome is already written. */
  async existing(deliveryIds: readonly string[]): Promise<Set<string>> {
    if (deliveryIds.length === 0) return new Set();
    const rows = await this.postgres.run<{ id: string }>(EXISTING, [deliveryIds.join('\u001e')]);
    return new Set(rows.map((row) => row.id));
  }

  /** Nothing is owed for these any more. */
  async forget(eventIds: readonly string[], token: string): Promise<void> {
    await this.postgres.run(FORGET, [eventIds.join('\u001e'), token]);
  }

  /** Makes the deliveries of these tasks known one by one, so that they can be tried one by one. */
  async split(tasks: readonly DeliveryTask[], token: string): Promise<void> {
    await this.postgres.run(SPLIT, [
      [...new Set(tasks.map(({ event }) => event.id))].join('\u001e'),
      token,
      textColumn(tasks, ({ deliveryId }) => deliveryId),
      textColumn(tasks, ({ event }) => event.id),
      textColumn(tasks, ({ webhookId }) => webhookId),
      textColumn(tasks, ({ event }) => event.type),
      literalColumn(tasks, ({ event }) => event.priority),
    ]);
  }

  /** Gives rows back before their lease ends, so that somebody else may take them at once. */
  async release(held: readonly { eventId: string; token: string }[]): Promise<void> {
    const ids = held.map(({ eventId }) => eventId).join('\u001e');
    await this.postgres.run(RELEASE, [ids, held.map(({ token }) => token).join('\u001e')]);
  }
}

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

import { Injectable } from '@nestjs/common';
import { keyIn, rowOf } from '../../database/keyed-lookup.js';
import { PostgresClient, type PreparedStatement } from '../../database/postgres.client.js';
import { releaseLeases } from './release-leases.js';
import { QUARANTINE_AFTER } from './lease.js';

/** A delivery that fell due and is held by this process now, with its event. */
export interface ClaimedDelivery {
  id: string;
  webhookId: string;
  attempts: number;
  budgetStart: number;
  /** Leases in a row that ended without an outcome. */
  lostLeases: number;
  eventId: string;
  type: string;
  /** Null: retention has dropped the event, so that there is nothing left to send. */
  body: string | null;
  priority: number;
  expiresAtMs: number | undefined;
}

interface ClaimRow {
  id: string;
  webhook_id: string;
  attempts: number;
  budget_start: number;
  lost_leases: number;
  event_id: string;
  event_type: string;
  body: string | null;
  priority: number | null;
  expires_at: Date | null;
}

/** A lease that ended without an outcome: its worker was killed, stopped, or cut off. */
const claim = (which: string): string => `
    WITH taken AS MATERIALIZED (
      SELECT id FROM deliveries
       WHERE due_at <= now() AND ${which} ORDER BY due_at LIMIT $3
         FOR UPDATE SKIP LOCKED),
    claimed AS (
      UPDATE deliveries
         SET status = 'delivering', lease_token = $1, due_at = now() + $2 * interval '1 ms',
             lost_leases = lost_leases + (status = 'delivering')::int
       WHERE ${keyIn('id', 'taken')}
      RETURNING id, webhook_id, attempts, budget_start, lost_leases, event_id, event_type)
    SELECT claimed.*, e.body, e.priority, e.expires_at
      FROM claimed LEFT JOIN ${rowOf('events', 'body, priority, expires_at', 'id = claimed.event_id')} AS e ON true`;

const CLAIM = { name: 'claim-deliveries-due', text: claim(`lost_leases < ${QUARANTINE_AFTER}`) };
const CLAIM_SUSPECTS = {
  name: 'claim-deliveries-suspect',
  text: claim(`lost_leases >= ${QUARANTINE_AFTER}`),
};

const RELEASE = {
  name: 'release-deliveries',
  text: releaseLeases('now()'),
};

/** Deliveries that have a row and are due again: retries, redrives, and what a crash left leased. */
@Injectable()
export class DueDeliveriesStore {
  constructor(private readonly postgres: PostgresClient) {}

  async claim(limit: number, token: string, leaseMs: number): Promise<ClaimedDelivery[]> {
    return this.run(CLAIM, limit, token, leaseMs);
  }

  /** Of those that workers have died with, the one that is due first. */
  async claimQuarantined(token: string, leaseMs: number): Promise<ClaimedDelivery | undefined> {
    return (await this.run(CLAIM_SUSPECTS, 1, token, leaseMs))[0];
  }

  private async run(
    statement: PreparedStatement,
    limit: number,
    token: string,
    leaseMs: number,
  ): Promise<ClaimedDelivery[]> {
    const rows = await this.postgres.run<ClaimRow>(statement, [token, leaseMs, limit]);
    return rows.map((row) => ({
      id: row.id,
      webhookId: row.webhook_id,
      attempts: row.attempts,
      budgetStart: row.budget_start,
      lostLeases: row.lost_leases,
      eventId: row.event_id,
      type: row.event_type,
      body: row.body,
      priority: row.priority ?? 1,
      expiresAtMs: row.expires_at?.getTime(),
    }));
  }

  /** Gives deliveries back before their lease ends, with no attempt spent. */
  async release(held: readonly { id: string; token: string }[]): Promise<void> {
    const ids = held.map(({ id }) => id).join('\u001e');
    await this.postgres.run(RELEASE, [ids, held.map(({ token }) => token).join('\u001e')]);
  }
}

import { Injectable } from '@nestjs/common';
import { keyIn, rowOf } from '../../database/keyed-lookup.js';
import { PostgresClient, type PreparedStatement } from '../../database/postgres.client.js';
import { QUARANTINE_AFTER } from '../leases/lease.js';
import { LEASED_DELIVERIES, releaseLeases } from '../leases/lease.statements.js';
import {
  type ClaimedDelivery,
  type ClaimedDeliveryRow,
  toClaimedDelivery,
} from './claimed-delivery.js';

/** A delivery that is still `delivering` when it is due has lost its lease. */
const claim = (condition: string): string => `
    WITH due AS MATERIALIZED (
      SELECT id FROM deliveries
       WHERE due_at <= now() AND ${condition} ORDER BY due_at LIMIT $3
         FOR UPDATE SKIP LOCKED),
    claimed AS (
      UPDATE deliveries
         SET status = 'delivering', lease_token = $1, due_at = now() + $2 * interval '1 ms',
             lost_leases = lost_leases + (status = 'delivering')::int
       WHERE ${keyIn('id', 'due')}
      RETURNING id, webhook_id, attempts, budget_start, lost_leases, event_id, event_type)
    SELECT claimed.*, e.owner_id, e.body, e.priority, e.expires_at
      FROM claimed LEFT JOIN ${rowOf('events', 'owner_id, body, priority, expires_at', 'id = claimed.event_id')} AS e ON true`;

const CLAIM = { name: 'claim-due-deliveries', text: claim(`lost_leases < ${QUARANTINE_AFTER}`) };
const CLAIM_QUARANTINED = {
  name: 'claim-quarantined-delivery',
  text: claim(`lost_leases >= ${QUARANTINE_AFTER}`),
};
const RELEASE = { name: 'release-due-deliveries', text: releaseLeases('now()') };

/** Deliveries that have a row and are due: retries, redrives, and those with a lost lease. */
@Injectable()
export class DueDeliveriesStore {
  constructor(private readonly postgres: PostgresClient) {}

  /** Claims those that are not under quarantine, the longest due first. */
  async claim(limit: number, token: string, leaseMs: number): Promise<ClaimedDelivery[]> {
    return this.run(CLAIM, limit, token, leaseMs);
  }

  /** Claims one that is under quarantine. */
  async claimQuarantined(token: string, leaseMs: number): Promise<ClaimedDelivery | undefined> {
    return (await this.run(CLAIM_QUARANTINED, 1, token, leaseMs))[0];
  }

  /** Ends leases before their time, with no attempt spent. The deliveries are due at once. */
  async release(leased: readonly { id: string; token: string }[]): Promise<void> {
    await this.postgres.run(RELEASE, LEASED_DELIVERIES.values(leased));
  }

  private async run(
    statement: PreparedStatement,
    limit: number,
    token: string,
    leaseMs: number,
  ): Promise<ClaimedDelivery[]> {
    const rows = await this.postgres.run<ClaimedDeliveryRow>(statement, [token, leaseMs, limit]);
    return rows.map(toClaimedDelivery);
  }
}

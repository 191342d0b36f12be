import { Injectable } from '@nestjs/common';
import { keyIn, rowOf } from '../../database/keyed-lookup.js';
import { PostgresClient } from '../../database/postgres.client.js';
import { LEASED_DELIVERIES, releaseLeases } from '../leases/lease.statements.js';
import {
  type ClaimedDelivery,
  type ClaimedDeliveryRow,
  toClaimedDelivery,
} from './claimed-delivery.js';
import { COUNT_INTERRUPTED } from './interrupted.statements.js';

/** A delivery that is still `delivering` when it is due has lost its lease. */
const CLAIM = {
  name: 'claim-due-deliveries',
  text: `
    WITH due AS MATERIALIZED (
      SELECT id, status = 'delivering' AS is_lost FROM deliveries
       WHERE due_at <= now() ORDER BY due_at LIMIT $3
         FOR UPDATE SKIP LOCKED),
    claimed AS (
      UPDATE deliveries
         SET status = 'delivering', lease_token = $1, due_at = now() + $2 * interval '1 ms',
             lost_leases = lost_leases + (status = 'delivering')::int
       WHERE ${keyIn('id', 'due')}
      RETURNING id, webhook_id, attempts, budget_start, lost_leases, event_id, event_type)
    SELECT claimed.*, claimed.id = ANY (ARRAY(SELECT id FROM due WHERE is_lost)) AS is_lost,
           e.owner_id, e.body, e.priority, e.expires_at
      FROM claimed LEFT JOIN ${rowOf('events', 'owner_id, body, priority, expires_at', 'id = claimed.event_id')} AS e ON true`,
};
const RELEASE = { name: 'release-due-deliveries', text: releaseLeases('now()') };

/** What {@link COUNT_INTERRUPTED} says of a delivery. */
interface CountedRow extends Pick<
  ClaimedDelivery,
  'id' | 'attempts' | 'budgetStart' | 'lostLeases'
> {
  [column: string]: unknown;
}

/** Deliveries that have a row and are due: retries, redrives, and those with a lost lease. */
@Injectable()
export class DueDeliveriesStore {
  constructor(private readonly postgres: PostgresClient) {}

  /** Claims the longest due first; of those with a lost lease, the interrupted attempts are counted. */
  async claim(limit: number, token: string, leaseMs: number): Promise<ClaimedDelivery[]> {
    const rows = await this.postgres.run<ClaimedDeliveryRow>(CLAIM, [token, leaseMs, limit]);
    const claimed = rows.map(toClaimedDelivery);
    return claimed.some(({ isLost }) => isLost) ? this.countInterrupted(claimed, token) : claimed;
  }

  /** Ends leases before their time, with no attempt spent. The deliveries are due at once. */
  async release(leased: readonly { id: string; token: string }[]): Promise<void> {
    await this.postgres.run(RELEASE, LEASED_DELIVERIES.values(leased));
  }

  private async countInterrupted(
    claimed: readonly ClaimedDelivery[],
    token: string,
  ): Promise<ClaimedDelivery[]> {
    const lost = claimed.filter(({ isLost }) => isLost).map(({ id }) => ({ id, token }));
    const values = LEASED_DELIVERIES.values(lost);
    const rows = await this.postgres.run<CountedRow>(COUNT_INTERRUPTED, values);
    const counted = new Map(rows.map(({ id, ...counts }) => [id, counts]));
    return claimed.map((delivery) => ({ ...delivery, ...counted.get(delivery.id) }));
  }
}

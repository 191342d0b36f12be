import { Injectable } from '@nestjs/common';
import { texts } from '../../database/bulk.js';
import { CHANNELS } from '../../database/notification.listener.js';
import { PostgresClient } from '../../database/postgres.client.js';
import type { RateState } from './rate-window.js';

/** A lane that this process has just got. */
export interface TakenLease {
  webhookId: string;
  /** What its last holder has written about what it sent; null: nothing. */
  state: RateState | null;
  /** Since that was written. */
  elapsedMs: number;
}

/** What a renewal found. */
export interface RenewalResult {
  /** The lanes that are still this process's own. */
  kept: string[];
  /** Lanes that anybody holds. */
  owned: number;
}

interface TakenRow {
  webhook_id: string;
  state: RateState | null;
  elapsed_ms: number | null;
}

/** Free ones only, whoever else tries at the same time; in one order, so that none waits in a circle. */
const TAKE = {
  name: 'take-lanes',
  text: `
    WITH free AS (
      SELECT w.id FROM unnest(${texts(2)}) AS w(id) LEFT JOIN webhook_leases l ON l.webhook_id = w.id
       WHERE l.webhook_id IS NULL OR l.holder IS NULL OR l.until <= now()
       LIMIT $4)
    INSERT INTO webhook_leases AS l (webhook_id, holder, until)
    SELECT id, $1, now() + $3 * interval '1 ms' FROM free ORDER BY id
    ON CONFLICT (webhook_id) DO UPDATE SET holder = excluded.holder, until = excluded.until
     WHERE l.holder IS NULL OR l.until <= now()
    RETURNING webhook_id, state, extract(epoch FROM now() - state_at)::float8 * 1000 AS elapsed_ms`,
};

/** One that nobody took meanwhile is renewed even if its end has passed. */
const RENEW = {
  name: 'renew-lanes',
  text: `
    WITH renewed AS (
      UPDATE webhook_leases SET until = now() + $3 * interval '1 ms'
       WHERE holder = $1 AND webhook_id = ANY (${texts(2)})
      RETURNING webhook_id)
    SELECT ARRAY(SELECT webhook_id FROM renewed) AS kept,
           (SELECT count(*) FROM webhook_leases WHERE until > now() AND holder IS NOT NULL)::int AS owned`,
};

const GIVE_BACK = {
  name: 'give-back-lane',
  text: `
    WITH given AS (
      UPDATE webhook_leases SET holder = NULL, state = $3, state_at = now()
       WHERE webhook_id = $2 AND holder = $1 RETURNING 1)
    SELECT pg_notify('${CHANNELS.lanes}', $2) FROM given`,
};

/** The leases of lanes, on the database's clock. */
@Injectable()
export class ExclusiveWebhooksStore {
  constructor(private readonly postgres: PostgresClient) {}

  /** Takes at most so many of these, of which others may hold some. */
  async take(
    holder: string,
    webhookIds: readonly string[],
    leaseMs: number,
    limit: number,
  ): Promise<TakenLease[]> {
    const values = [holder, webhookIds.join('\u001e'), leaseMs, limit];
    const rows = await this.postgres.run<TakenRow>(TAKE, values);
    return rows.map(({ webhook_id, state, elapsed_ms }) => ({
      webhookId: webhook_id,
      state,
      elapsedMs: elapsed_ms ?? 0,
    }));
  }

  /** Renews all webhook leases of a node. */
  async renew(
    holder: string,
    webhookIds: readonly string[],
    leaseMs: number,
  ): Promise<RenewalResult> {
    const values = [holder, webhookIds.join('\u001e'), leaseMs];
    const [roll] = await this.postgres.run<RenewalResult & Record<string, unknown>>(RENEW, values);
    return roll!;
  }

  /** Whoever waits for it is told. */
  async release(holder: string, webhookId: string, state: RateState | null): Promise<void> {
    await this.postgres.run(GIVE_BACK, [holder, webhookId, state && JSON.stringify(state)]);
  }
}

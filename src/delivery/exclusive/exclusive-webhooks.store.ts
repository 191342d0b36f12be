import { Injectable } from '@nestjs/common';
import { textList, texts } from '../../database/bulk.js';
import { CHANNELS } from '../../database/notification.listener.js';
import { PostgresClient } from '../../database/postgres.client.js';
import type { RateState } from './rate-window.js';

/** A webhook lease that this process has just taken. */
export interface TakenLease {
  webhookId: string;
  /** What the previous process has written about its requests; null: nothing. */
  state: RateState | null;
  /** Since that was written. */
  elapsedMs: number;
}

export interface Renewal {
  /** The webhooks whose leases this process still owns. */
  kept: string[];
  /** Webhook leases of all processes. */
  owned: number;
}

interface TakenRow {
  webhook_id: string;
  state: RateState | null;
  elapsed_ms: number | null;
}

/** Only free ones, also when several processes try at once; in one order, so that none deadlock. */
const TAKE = {
  name: 'take-webhook-leases',
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

/** A lease that no other process has taken is renewed even if its end has passed. */
const RENEW = {
  name: 'renew-webhook-leases',
  text: `
    WITH renewed AS (
      UPDATE webhook_leases SET until = now() + $3 * interval '1 ms'
       WHERE holder = $1 AND webhook_id = ANY (${texts(2)})
      RETURNING webhook_id)
    SELECT ARRAY(SELECT webhook_id FROM renewed) AS kept,
           (SELECT count(*) FROM webhook_leases WHERE until > now() AND holder IS NOT NULL)::int AS owned`,
};

const RELEASE = {
  name: 'release-webhook-lease',
  text: `
    WITH released AS (
      UPDATE webhook_leases SET holder = NULL, state = $3, state_at = now()
       WHERE webhook_id = $2 AND holder = $1 RETURNING 1)
    SELECT pg_notify('${CHANNELS.webhookLeases}', $2) FROM released`,
};

/** The leases of exclusive webhooks, on the database's clock. */
@Injectable()
export class ExclusiveWebhooksStore {
  constructor(private readonly postgres: PostgresClient) {}

  /** Takes at most so many of these, of which other processes may own some. */
  async take(
    holder: string,
    webhookIds: readonly string[],
    leaseMs: number,
    limit: number,
  ): Promise<TakenLease[]> {
    const values = [holder, textList(webhookIds), leaseMs, limit];
    const rows = await this.postgres.run<TakenRow>(TAKE, values);
    return rows.map(({ webhook_id, state, elapsed_ms }) => ({
      webhookId: webhook_id,
      state,
      elapsedMs: elapsed_ms ?? 0,
    }));
  }

  /** Renews the leases of a node. */
  async renew(holder: string, webhookIds: readonly string[], leaseMs: number): Promise<Renewal> {
    const values = [holder, textList(webhookIds), leaseMs];
    const [renewal] = await this.postgres.run<Renewal & Record<string, unknown>>(RENEW, values);
    return renewal!;
  }

  /** Also notifies the processes that wait for this webhook. */
  async release(holder: string, webhookId: string, state: RateState | null): Promise<void> {
    await this.postgres.run(RELEASE, [holder, webhookId, state && JSON.stringify(state)]);
  }
}

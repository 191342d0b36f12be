import { Injectable } from '@nestjs/common';
import type { DeliveryStatus } from '../../shared/delivery-status.js';
import { firstSuffixAt } from '../../shared/ids.js';
import { PostgresClient } from '../../database/postgres.client.js';

/** Counted over the newest deliveries to one webhook. */
export interface DeliveryCounts {
  deliveries: number;
  attempts: number;
  /** p50, p95 and p99; null: no attempt was made. */
  latencies: [number, number, number] | null;
  byStatus: Partial<Record<DeliveryStatus, number>>;
  byError: Record<string, number>;
}

/** In the order of the index, from its newest end, so the cost is bounded by the limit. */
const COUNT = {
  name: 'count-deliveries-of-webhook',
  text: `
    WITH recent AS MATERIALIZED (
      SELECT status, attempts, last_duration_ms, last_error FROM deliveries
       WHERE webhook_id = $1 AND id >= $2 ORDER BY id DESC LIMIT $3)
    SELECT (SELECT count(*) FROM recent)::int AS deliveries,
           (SELECT coalesce(sum(attempts), 0) FROM recent)::int AS attempts,
           (SELECT percentile_disc(ARRAY[0.5, 0.95, 0.99]::double precision[])
                     WITHIN GROUP (ORDER BY last_duration_ms)
              FROM recent WHERE last_duration_ms IS NOT NULL) AS latencies,
           (SELECT coalesce(json_object_agg(status, n), '{}')
              FROM (SELECT status, count(*) AS n FROM recent GROUP BY status) s) AS "byStatus",
           (SELECT coalesce(json_object_agg(last_error, n), '{}')
              FROM (SELECT last_error, count(*) AS n FROM recent
                     WHERE last_error IS NOT NULL GROUP BY last_error) e) AS "byError"`,
};

/** Figures about the deliveries to one webhook. */
@Injectable()
export class WebhookStatsStore {
  constructor(private readonly postgres: PostgresClient) {}

  /** @param limit most deliveries to look at; the newest */
  async count(webhookId: string, since: Date, limit: number): Promise<DeliveryCounts> {
    const from = `dlv_${firstSuffixAt(since.getTime())}`;
    const [counts] = await this.postgres.run<DeliveryCounts>(COUNT, [webhookId, from, limit]);
    return counts!;
  }
}

import { Injectable } from '@nestjs/common';
import { PostgresClient } from '../database/postgres.client.js';
import type { WebhookRow } from './registered-webhook.js';

const CHANGED = {
  name: 'webhooks-changed',
  text: `SELECT id, owner_id, url, events, sealed_secrets, sealed_headers, active, disabled_reason,
                timeout_ms, retry_policy, rate_limit, max_concurrency, ordering, batch,
                deleted_at IS NOT NULL AS deleted, revision
           FROM webhooks WHERE revision > $1 ORDER BY revision`,
};

/** Webhooks as the cache reads them. */
@Injectable()
export class WebhooksStore {
  constructor(private readonly postgres: PostgresClient) {}

  /** Every webhook, deleted ones included, with a greater revision; in the order of revisions. */
  changedSince(revision: number): Promise<WebhookRow[]> {
    return this.postgres.run<WebhookRow>(CHANGED, [revision]);
  }
}

import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { OPERATOR } from '../shared/visibility.js';
import { PostgresClient } from '../database/postgres.client.js';
import type { WebhookRow } from './registered-webhook.js';

const CHANGED = {
  name: 'webhooks-changed',
  text: `SELECT id, owner_id, url, events, sealed_secrets, sealed_headers, sealed_tls, active, disabled_reason,
                timeout_ms, retry_policy, rate_limit, max_concurrency, ordering, batch,
                deleted_at IS NOT NULL AS deleted, revision
           FROM webhooks WHERE revision > $1 ORDER BY revision`,
};

const LOCK_REGISTRATIONS = `SELECT pg_advisory_xact_lock(hashtext('tidings_webhooks'), hashtext($1))`;

/** Webhooks as the cache reads them, and the lock under which they are registered. */
@Injectable()
export class WebhooksStore {
  constructor(private readonly postgres: PostgresClient) {}

  /** Every webhook, deleted ones included, with a greater revision; in the order of revisions. */
  changedSince(revision: number): Promise<WebhookRow[]> {
    return this.postgres.run<WebhookRow>(CHANGED, [revision]);
  }

  /**
   * Until the transaction ends, no other one registers for this owner: how many webhooks there are and
   * which URLs they have is checked before it is written.
   */
  async lockRegistrations(tx: EntityManager, ownerId: string | null): Promise<void> {
    await tx.query(LOCK_REGISTRATIONS, [ownerId ?? OPERATOR]);
  }
}

import {
  Inject,
  Injectable,
  Logger,
  type OnApplicationShutdown,
  type OnModuleInit,
} from '@nestjs/common';
import { CONFIG } from '../config/config.module.js';
import type { Config } from '../config/env.js';
import { NotificationListener } from '../database/notification.listener.js';
import { PostgresClient } from '../database/postgres.client.js';
import { TableCache } from '../database/table.cache.js';
import { EventTypeRegistry } from '../event-types/event-type-registry.service.js';
import {
  type RegisteredWebhook,
  registeredWebhook,
  unusableWebhook,
  type WebhookRow,
} from './registered-webhook.js';
import { SubscriptionIndex } from './subscription-index.js';

/** For the case that a notification was lost; what depends on the exact version checks it itself. */
const POLL_MS = 5_000;

const CHANGED = {
  name: 'webhooks-changed',
  text: `SELECT id, owner_id, url, events, sealed_secrets, sealed_headers, active, disabled_reason,
                timeout_ms, retry_policy, rate_limit, max_concurrency, ordering, batch,
                deleted_at IS NOT NULL AS deleted, revision
           FROM webhooks WHERE revision > $1 ORDER BY revision`,
};

/**
 * All webhooks in memory, ready to be sent to: parsed, decrypted, compiled. Follows the table by
 * revision, so a change costs one short query in each process, and answers matches without any.
 */
@Injectable()
export class WebhookCache implements OnModuleInit, OnApplicationShutdown {
  private readonly logger = new Logger(WebhookCache.name);
  /** Every webhook that is not deleted; only the active ones are in the index. */
  private readonly webhooks = new Map<string, RegisteredWebhook>();
  private readonly index = new SubscriptionIndex<RegisteredWebhook>();
  private revision = 0;
  private longest: number | undefined;
  private readonly changeHandlers: (() => void)[] = [];
  private readonly follower: TableCache;

  constructor(
    private readonly postgres: PostgresClient,
    notifications: NotificationListener,
    private readonly eventTypes: EventTypeRegistry,
    @Inject(CONFIG) private readonly config: Config,
  ) {
    this.follower = new TableCache(notifications, {
      what: 'the webhooks',
      channel: 'webhooks',
      read: () => this.readChanges(),
      pollMs: POLL_MS,
    });
  }

  onModuleInit(): Promise<void> {
    return this.follower.start();
  }

  onApplicationShutdown(): Promise<void> {
    return this.follower.stop();
  }

  /** The version of the set that {@link match} answers from; see `webhook_versions`. */
  get version(): number {
    return this.revision;
  }

  /** The webhook, active or not; undefined if it was deleted, or is newer than {@link version}. */
  get(id: string): RegisteredWebhook | undefined {
    return this.webhooks.get(id);
  }

  /** The longest deadline that an attempt to any webhook can have now. */
  get longestTimeoutMs(): number {
    this.longest ??= [...this.webhooks.values()].reduce(
      (longest, { timeoutMs }) => Math.max(longest, timeoutMs),
      this.config.delivery.timeoutMs,
    );
    return this.longest;
  }

  /** The active webhooks that hear an event of this owner and type; none if it is for sockets only. */
  match(ownerId: string | null, type: string): readonly RegisteredWebhook[] {
    return this.eventTypes.reaches(type, 'webhook') ? this.index.match(ownerId, type) : [];
  }

  /** Calls the handler after this process has learned of changed webhooks. */
  onChange(handler: () => void): void {
    this.changeHandlers.push(handler);
  }

  /** Takes in every change that was committed before the call. */
  refresh(): Promise<void> {
    return this.follower.refresh();
  }

  private async readChanges(): Promise<void> {
    const rows = await this.postgres.run<WebhookRow>(CHANGED, [this.revision]);
    for (const row of rows) this.apply(row);
    this.longest = undefined;
    if (rows.length > 0) for (const handler of this.changeHandlers) handler();
  }

  private apply(row: WebhookRow): void {
    this.webhooks.delete(row.id);
    this.index.delete(row.id);
    if (!row.deleted) {
      const webhook = this.opened(row);
      this.webhooks.set(row.id, webhook);
      // Also one that cannot be used here: it is owed what it subscribed to.
      if (row.active) this.index.set(webhook);
    }
    this.revision = Number(row.revision);
  }

  /** One row that cannot be opened (another SECRETS_KEY) must not stop all the others. */
  private opened(row: WebhookRow): RegisteredWebhook {
    try {
      return registeredWebhook(row, this.config);
    } catch (error) {
      this.logger.error(`webhook ${row.id} cannot be used: ${String(error)}`);
      return unusableWebhook(row, this.config);
    }
  }
}

import { EventEmitter } from 'node:events';
import {
  Inject,
  Injectable,
  Logger,
  type OnApplicationShutdown,
  type OnModuleInit,
} from '@nestjs/common';
import { logFailure } from '../shared/log-failure.js';
import { CONFIG } from '../config/config.module.js';
import type { Config } from '../config/env.js';
import { TIMINGS, type Timings } from '../config/timings.js';
import { NotificationListener } from '../database/notification.listener.js';
import { TableCache } from '../database/table.cache.js';
import { EventTypeCache } from '../event-types/event-type-cache.service.js';
import {
  type RegisteredWebhook,
  registeredWebhook,
  unusableWebhook,
  type WebhookRow,
} from './registered-webhook.js';
import { SubscriptionIndex } from './subscription-index.js';
import { WebhooksStore } from './webhooks.store.js';

/**
 * All webhooks in memory, parsed and decrypted, so that matching needs no query. The cache follows the
 * table by revision: a change costs one short query on each node.
 */
@Injectable()
export class WebhookCache
  extends EventEmitter<{ /** Changes have been loaded. */ changed: [] }>
  implements OnModuleInit, OnApplicationShutdown
{
  private readonly logger = new Logger(WebhookCache.name);
  /** Every webhook that is not deleted; only the active ones are in the index. */
  private readonly webhooks = new Map<string, RegisteredWebhook>();
  private readonly index = new SubscriptionIndex<RegisteredWebhook>();
  private revision = 0;
  private longestTimeout: number | undefined;
  private readonly table: TableCache;

  constructor(
    private readonly store: WebhooksStore,
    notifications: NotificationListener,
    private readonly eventTypes: EventTypeCache,
    @Inject(CONFIG) private readonly config: Config,
    @Inject(TIMINGS) timings: Timings,
  ) {
    super();
    this.table = new TableCache(notifications, {
      what: 'the webhooks',
      channel: 'webhooks',
      read: () => this.readChanges(),
      pollMs: timings.cachePollMs,
    });
  }

  onModuleInit(): Promise<void> {
    return this.table.start();
  }

  onApplicationShutdown(): Promise<void> {
    return this.table.stop();
  }

  /** The version of the webhooks that {@link match} uses; see `webhook_versions` and match-scope.ts. */
  get version(): number {
    return this.revision;
  }

  /** The webhook, active or not; undefined if it was deleted, or is newer than {@link version}. */
  get(id: string): RegisteredWebhook | undefined {
    return this.webhooks.get(id);
  }

  /** The longest timeout of an attempt to any webhook, in milliseconds. */
  get longestTimeoutMs(): number {
    this.longestTimeout ??= [...this.webhooks.values()].reduce(
      (longest, { timeoutMs }) => Math.max(longest, timeoutMs),
      this.config.delivery.timeoutMs,
    );
    return this.longestTimeout;
  }

  /** The active webhooks that an event of this owner and type goes to; none if its type has no webhooks. */
  match(ownerId: string | null, type: string): readonly RegisteredWebhook[] {
    return this.eventTypes.reaches(type, 'webhook') ? this.index.match(ownerId, type) : [];
  }

  /** Loads every change that was committed before the call. */
  refresh(): Promise<void> {
    return this.table.refresh();
  }

  private async readChanges(): Promise<void> {
    const rows = await this.store.changedSince(this.revision);
    for (const row of rows) this.apply(row);
    this.longestTimeout = undefined;
    if (rows.length > 0) this.emit('changed');
  }

  private apply(row: WebhookRow): void {
    this.webhooks.delete(row.id);
    this.index.delete(row.id);
    if (!row.deleted) {
      const webhook = this.opened(row);
      this.webhooks.set(row.id, webhook);
      // Also one that cannot be used here: its deliveries wait for a node that can.
      if (row.active) this.index.set(webhook);
    }
    this.revision = Number(row.revision);
  }

  /** A webhook that cannot be decrypted (another SECRETS_KEY) must not stop all the others. */
  private opened(row: WebhookRow): RegisteredWebhook {
    try {
      return registeredWebhook(row, this.config);
    } catch (error) {
      logFailure(this.logger, 'error', 'a webhook cannot be used', error, { webhookId: row.id });
      return unusableWebhook(row, this.config);
    }
  }
}

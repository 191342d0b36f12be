import { Injectable, Logger } from '@nestjs/common';
import { NotificationsStore } from '../../database/notifications.store.js';
import { logFailure } from '../../shared/log-failure.js';
import { DeliverySignals } from './delivery-signals.service.js';

/** Other nodes are notified at most this often: each time they look at all deferred deliveries. */
const MIN_GAP_MS = 20;

/**
 * Announces new deferred deliveries: to this process at once and by webhook, to other nodes by a
 * notification. A notification that is lost costs one poll interval.
 */
@Injectable()
export class DeferredNotifier {
  private readonly logger = new Logger(DeferredNotifier.name);
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly signals: DeliverySignals,
    private readonly notifications: NotificationsStore,
  ) {}

  /** After the commit. Never waits and never fails. */
  announce(webhookIds: readonly string[]): void {
    if (webhookIds.length === 0) return;
    for (const webhookId of webhookIds) this.signals.emit('deferred', webhookId, 0);
    this.timer ??= setTimeout(() => void this.notifyOthers(), MIN_GAP_MS).unref();
  }

  private async notifyOthers(): Promise<void> {
    this.timer = undefined;
    await this.notifications.notify('deferred').catch((error: unknown) => {
      logFailure(this.logger, 'warn', 'other nodes find deferred deliveries by polling', error);
    });
  }
}

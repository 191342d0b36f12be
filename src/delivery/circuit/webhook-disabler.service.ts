import { Injectable, Logger } from '@nestjs/common';
import { OPERATOR } from '../../shared/visibility.js';
import { logFailure } from '../../shared/log-failure.js';
import { SystemEvents } from '../../system-events/system-events.service.js';
import { WebhookCache } from '../../webhooks/webhook-cache.service.js';
import { WebhooksService } from '../../webhooks/webhooks.service.js';

/** `gone`: the receiver answered 410; `failing`: nothing but failures for too long. */
export type DisabledReason = 'gone' | 'failing';

/** Disables a webhook on behalf of the engine, and notifies its owner. */
@Injectable()
export class WebhookDisabler {
  private readonly logger = new Logger(WebhookDisabler.name);

  constructor(
    private readonly webhooks: WebhooksService,
    private readonly webhookCache: WebhookCache,
    private readonly systemEvents: SystemEvents,
  ) {}

  /**
   * Does not wait; after a failure, the next such result tries again. Of several nodes, the one that
   * changed the webhook notifies the owner.
   */
  disable(webhookId: string, reason: DisabledReason): void {
    const ownerId = this.webhookCache.get(webhookId)?.ownerId ?? OPERATOR;
    this.webhooks.disable(webhookId, reason).then(
      (wasActive) => {
        if (!wasActive) return;
        this.logger.warn({ message: 'webhook.disabled', webhookId, reason });
        this.systemEvents.emit({
          type: 'webhook.disabled',
          ownerId,
          subject: webhookId,
          data: { webhookId, reason },
        });
      },
      (error: unknown) =>
        logFailure(this.logger, 'error', 'a webhook was not disabled', error, {
          webhookId,
          reason,
        }),
    );
  }
}

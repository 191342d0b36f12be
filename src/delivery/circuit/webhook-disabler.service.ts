import { Injectable, Logger } from '@nestjs/common';
import { OPERATOR } from '../../system-events/system-event.js';
import { SystemEvents } from '../../system-events/system-events.service.js';
import { WebhookCache } from '../../webhooks/webhook-cache.service.js';
import { WebhooksService } from '../../webhooks/webhooks.service.js';

/** `gone`: the receiver answered 410; `failing`: nothing but failures for too long. */
export type DisabledReason = 'gone' | 'failing';

/** Switches a webhook off on behalf of the engine, and tells its owner. */
@Injectable()
export class WebhookDisabler {
  private readonly logger = new Logger(WebhookDisabler.name);

  constructor(
    private readonly webhooks: WebhooksService,
    private readonly registry: WebhookCache,
    private readonly systemEvents: SystemEvents,
  ) {}

  /** Does not wait: whoever finds it still on tries again. Told once, by whoever switched it off. */
  disable(webhookId: string, reason: DisabledReason): void {
    const ownerId = this.registry.get(webhookId)?.ownerId ?? OPERATOR;
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
        this.logger.error(`webhook ${webhookId} could not be disabled: ${String(error)}`),
    );
  }
}

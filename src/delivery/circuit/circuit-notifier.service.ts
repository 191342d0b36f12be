import { Injectable } from '@nestjs/common';
import { OPERATOR } from '../../shared/visibility.js';
import { SystemEvents } from '../../system-events/system-events.service.js';
import { WebhookCache } from '../../webhooks/webhook-cache.service.js';
import type { CircuitSignal } from './circuit.js';
import { WebhookDisabler } from './webhook-disabler.service.js';

/** Publishes the signals of circuits, and disables a webhook that has failed for too long. */
@Injectable()
export class CircuitNotifier {
  constructor(
    private readonly systemEvents: SystemEvents,
    private readonly webhookCache: WebhookCache,
    private readonly disabler: WebhookDisabler,
  ) {}

  notify(webhookId: string, signals: readonly CircuitSignal[]): void {
    for (const signal of signals) this.notifyOf(webhookId, signal);
  }

  private notifyOf(webhookId: string, signal: CircuitSignal): void {
    // Without the URL: it often is a credential itself.
    const ownerId = this.webhookCache.get(webhookId)?.ownerId ?? OPERATOR;
    const about = { subject: webhookId, ownerId };
    switch (signal.kind) {
      case 'opened': {
        const { failures, lastError } = signal;
        const openUntil = new Date(signal.untilMs).toISOString();
        const data = { webhookId, failures, openUntil, lastError };
        return this.systemEvents.emit({ ...about, type: 'webhook.circuit_opened', data });
      }
      case 'closed': {
        const data = { webhookId };
        return this.systemEvents.emit({ ...about, type: 'webhook.circuit_closed', data });
      }
      case 'failing':
        return this.disabler.disable(webhookId, 'failing');
    }
  }
}

import { Injectable } from '@nestjs/common';
import { OPERATOR } from '../../system-events/system-event.js';
import { SystemEvents } from '../../system-events/system-events.service.js';
import { WebhookCache } from '../../webhooks/webhook-cache.service.js';
import type { CircuitSignal } from './circuit.js';
import { WebhookDisabler } from './webhook-disabler.service.js';

/** Makes events of what circuits signal, and switches off a webhook that has failed for too long. */
@Injectable()
export class CircuitNotifier {
  constructor(
    private readonly systemEvents: SystemEvents,
    private readonly registry: WebhookCache,
    private readonly webhookSwitch: WebhookDisabler,
  ) {}

  notify(webhookId: string, signals: readonly CircuitSignal[]): void {
    for (const signal of signals) this.tellOne(webhookId, signal);
  }

  private tellOne(webhookId: string, signal: CircuitSignal): void {
    // The address is left out: it often is a credential itself.
    const about = {
      subject: webhookId,
      ownerId: this.registry.get(webhookId)?.ownerId ?? OPERATOR,
    };
    switch (signal.kind) {
      case 'opened': {
        const { failures, lastError } = signal;
        const openUntil = new Date(signal.untilMs).toISOString();
        const data = { webhookId, failures, openUntil, lastError };
        return this.systemEvents.emit({ ...about, type: 'webhook.circuit_opened', data });
      }
      case 'closed':
        return this.systemEvents.emit({
          ...about,
          type: 'webhook.circuit_closed',
          data: { webhookId },
        });
      case 'failing':
        return this.webhookSwitch.disable(webhookId, 'failing');
    }
  }
}

import { Injectable } from '@nestjs/common';
import { isSystemEventType } from '../../common/system-event-types.js';
import { OPERATOR } from '../../system-events/system-event.js';
import { SystemEvents } from '../../system-events/system-events.service.js';
import { WebhookRegistry } from '../../webhooks/webhook-registry.service.js';
import { attemptsAfter, type Outcome } from './outcome.js';

/** Tells the owner of a webhook of each delivery to it that was given up. */
@Injectable()
export class DeadLetterSignals {
  constructor(
    private readonly systemEvents: SystemEvents,
    private readonly registry: WebhookRegistry,
  ) {}

  /** Says nothing of other outcomes, nor of events about the system: that would never end. */
  tell(outcome: Outcome): void {
    const { deliveryId, event, webhookId } = outcome.task;
    if (outcome.status !== 'dead_letter' || isSystemEventType(event.type)) return;
    this.systemEvents.emit({
      type: 'delivery.dead_lettered',
      ownerId: this.registry.get(webhookId)?.ownerId ?? OPERATOR,
      subject: webhookId,
      data: {
        deliveryId,
        eventId: event.id,
        eventType: event.type,
        webhookId,
        reason: outcome.error,
        attempts: attemptsAfter(outcome),
      },
    });
  }
}

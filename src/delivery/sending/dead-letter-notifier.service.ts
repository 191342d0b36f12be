import { Injectable } from '@nestjs/common';
import { OPERATOR } from '../../shared/visibility.js';
import { isSystemEventType } from '../../shared/event-pattern.js';
import { type SystemEvent, SystemEvents } from '../../system-events/system-events.service.js';
import { WebhookCache } from '../../webhooks/webhook-cache.service.js';
import { attemptsAfter, type Outcome } from './outcome.js';

/** A delivery that has become a dead letter. */
export interface DeadLetter {
  deliveryId: string;
  eventId: string;
  eventType: string;
  webhookId: string;
  reason: string | null;
  attempts: number;
}

/** Publishes a system event to the owner of a webhook for each dead letter. */
@Injectable()
export class DeadLetterNotifier {
  constructor(
    private readonly systemEvents: SystemEvents,
    private readonly webhooks: WebhookCache,
  ) {}

  /** Not for other outcomes, and not for system events: each dead letter would cause another one. */
  notify(outcome: Outcome): void {
    const { deliveryId, event, webhookId } = outcome.task;
    if (outcome.status !== 'dead_letter' || isSystemEventType(event.type)) return;
    const letter = {
      deliveryId,
      eventId: event.id,
      eventType: event.type,
      webhookId,
      reason: outcome.error,
      attempts: attemptsAfter(outcome),
    };
    this.systemEvents.emit(this.eventFor(letter));
  }

  /** Settles when they are published: this limits the rate of a caller that ends very many. */
  async notifyMany(letters: readonly DeadLetter[]): Promise<void> {
    const events = letters
      .filter(({ eventType }) => !isSystemEventType(eventType))
      .map((letter) => this.eventFor(letter));
    await this.systemEvents.publish(events).catch(() => {
      for (const event of events) this.systemEvents.emit(event);
    });
  }

  private eventFor(letter: DeadLetter): SystemEvent {
    const { webhookId } = letter;
    return {
      type: 'delivery.dead_lettered',
      ownerId: this.webhooks.get(webhookId)?.ownerId ?? OPERATOR,
      subject: webhookId,
      data: { ...letter },
    };
  }
}

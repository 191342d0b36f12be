import { Injectable } from '@nestjs/common';
import { isSystemEventType } from '../../shared/system-event-types.js';
import { OPERATOR, type SystemEvent } from '../../system-events/system-event.js';
import { SystemEvents } from '../../system-events/system-events.service.js';
import { WebhookCache } from '../../webhooks/webhook-cache.service.js';
import { attemptsAfter, type Outcome } from './outcome.js';

/** A delivery that was given up. */
export interface DeadLetter {
  deliveryId: string;
  eventId: string;
  eventType: string;
  webhookId: string;
  reason: string | null;
  attempts: number;
}

/** Tells the owner of a webhook of each delivery to it that was given up. */
@Injectable()
export class DeadLetterNotifier {
  constructor(
    private readonly systemEvents: SystemEvents,
    private readonly registry: WebhookCache,
  ) {}

  /** Says nothing of other outcomes, nor of events about the system: that would never end. */
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
    this.systemEvents.emit(this.signalOf(letter));
  }

  /** Of many at once: waits until they are published, so that whoever ends very many is not too fast. */
  async notifyMany(letters: readonly DeadLetter[]): Promise<void> {
    const signals = letters
      .filter(({ eventType }) => !isSystemEventType(eventType))
      .map((letter) => this.signalOf(letter));
    await this.systemEvents.publish(signals).catch(() => {
      for (const signal of signals) this.systemEvents.emit(signal);
    });
  }

  private signalOf(letter: DeadLetter): SystemEvent {
    const { webhookId } = letter;
    return {
      type: 'delivery.dead_lettered',
      ownerId: this.registry.get(webhookId)?.ownerId ?? OPERATOR,
      subject: webhookId,
      data: { ...letter },
    };
  }
}

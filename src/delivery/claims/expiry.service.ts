import { Injectable } from '@nestjs/common';
import { DeferredNotifier } from '../signals/deferred-notifier.service.js';
import { DeadLetterNotifier } from '../sending/dead-letter-notifier.service.js';
import { ExpiredDeliveriesStore } from './expired.store.js';

/**
 * Ends deliveries that have expired while they were pending: scheduled for a retry, or deferred for
 * whatever reason. Several nodes may do so side by side.
 */
@Injectable()
export class Expiry {
  constructor(
    private readonly store: ExpiredDeliveriesStore,
    private readonly deadLetters: DeadLetterNotifier,
    private readonly deferred: DeferredNotifier,
  ) {}

  /** Ends at most so many. @returns how many */
  async end(limit: number): Promise<number> {
    const ended = await this.store.end(limit);
    if (ended.length === 0) return 0;
    // In an ordered queue the deliveries behind them may be the next.
    this.deferred.announce([...new Set(ended.map(({ webhookId }) => webhookId))]);
    const letters = ended.filter(({ isCanceled }) => !isCanceled);
    await this.deadLetters.notifyMany(
      letters.map(({ id, eventId, eventType, webhookId, attempts }) => ({
        deliveryId: id,
        eventId,
        eventType,
        webhookId,
        reason: 'expired',
        attempts,
      })),
    );
    return ended.length;
  }
}

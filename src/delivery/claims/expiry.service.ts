import { Injectable } from '@nestjs/common';
import { DeferredNotifier } from '../signals/deferred-notifier.service.js';
import { DeadLetterNotifier } from '../sending/dead-letter-notifier.service.js';
import { ExpiredDeliveriesStore } from './expired.store.js';

/**
 * Ends what its time to live has caught up with while it waited: for the next attempt, for a webhook
 * that is switched off or fails, for others in its line. Several processes may do so side by side.
 */
@Injectable()
export class Expiry {
  constructor(
    private readonly store: ExpiredDeliveriesStore,
    private readonly deadLetters: DeadLetterNotifier,
    private readonly deferred: DeferredNotifier,
  ) {}

  /** @returns how many of at most so many */
  async end(limit: number): Promise<number> {
    const ended = await this.store.end(limit);
    if (ended.length === 0) return 0;
    // What stood behind them in line may be first now.
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

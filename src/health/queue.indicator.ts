import { Injectable } from '@nestjs/common';
import { type HealthCheckAttempt, HealthIndicatorService } from '@nestjs/terminus';
import { DeliveryQueue } from '../delivery/handover/delivery.queue.js';

/** Whether the queue answers. An open connection proves nothing: Redis may be stopped. */
@Injectable()
export class QueueIndicator {
  constructor(
    private readonly indicators: HealthIndicatorService,
    private readonly queue: DeliveryQueue,
  ) {}

  check(): HealthCheckAttempt {
    return this.indicators.check('queue').attempt(async () => {
      // The route is public, and the driver's message names addresses.
      await this.queue.ping().catch(() => {
        throw new Error('does not answer');
      });
      return { kind: this.queue.kind };
    });
  }
}

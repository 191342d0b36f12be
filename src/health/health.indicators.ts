import { Injectable } from '@nestjs/common';
import { type HealthCheckAttempt, HealthIndicatorService } from '@nestjs/terminus';
import { DeliveryQueue } from '../delivery/handover/delivery.queue.js';
import { LagStore } from './lag.store.js';

/** Reports the lag. It never makes a node unready: fewer nodes would only make a backlog longer. */
@Injectable()
export class LagIndicator {
  constructor(
    private readonly indicators: HealthIndicatorService,
    private readonly lag: LagStore,
  ) {}

  check(): HealthCheckAttempt {
    return this.indicators
      .check('lag')
      .attempt(async () => ({ oldestDueMs: await this.lag.oldestDueMs() }));
  }
}

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

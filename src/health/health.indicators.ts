import { Inject, Injectable } from '@nestjs/common';
import { type HealthCheckAttempt, HealthIndicatorService } from '@nestjs/terminus';
import { DeliveryQueue } from '../delivery/handover/delivery.queue.js';
import { TIMINGS, type Timings } from '../config/timings.js';
import { LagStore } from './lag.store.js';

/** Of the time after which the server is asked about a statement: its answer takes a moment. */
const SILENT_FACTOR = 1.5;

/** Whether PostgreSQL answers on the very connections that events are accepted and delivered with. */
@Injectable()
export class DatabaseIndicator {
  constructor(
    private readonly indicators: HealthIndicatorService,
    private readonly lag: LagStore,
    @Inject(TIMINGS) private readonly timings: Timings,
  ) {}

  check(): HealthCheckAttempt {
    return this.indicators.check('database').attempt(async () => {
      // The route is public, and the driver's message names addresses.
      await this.lag.ping(SILENT_FACTOR * this.timings.silentStatementMs).catch(() => {
        throw new Error('does not answer');
      });
    });
  }
}

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

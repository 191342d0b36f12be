import { Injectable } from '@nestjs/common';
import { type HealthCheckAttempt, HealthIndicatorService } from '@nestjs/terminus';
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

import { Inject, Injectable } from '@nestjs/common';
import {
  type HealthCheckAttempt,
  type HealthIndicatorFunction,
  type HealthIndicatorResult,
  HealthIndicatorService,
} from '@nestjs/terminus';
import { RealtimeBus } from '../cluster/realtime-bus.client.js';
import { CONFIG } from '../config/config.module.js';
import type { Config } from '../config/env.js';
import { Clock } from '../database/clock.service.js';
import { DeliveryQueue } from '../delivery/handover/delivery.queue.js';
import { TIMINGS, type Timings } from '../config/timings.js';
import { LagStore } from './lag.store.js';
import { type Check, checksOf, isRequired } from './needs.js';

const CHECK_TIMEOUT_MS = 1_000;

/** Of the time after which the server is asked about a statement: its answer takes a moment. */
const SILENT_FACTOR = 1.5;

/** The checks behind the readiness of this process. The route is public: no address of a store is in them. */
@Injectable()
export class HealthIndicators {
  private readonly checks: readonly Check[];

  constructor(
    private readonly indicators: HealthIndicatorService,
    private readonly deliveryQueue: DeliveryQueue,
    private readonly realtimeBus: RealtimeBus,
    private readonly lagStore: LagStore,
    private readonly clock: Clock,
    @Inject(CONFIG) { roles }: Config,
    @Inject(TIMINGS) private readonly timings: Timings,
  ) {
    this.checks = checksOf(roles);
  }

  all(): HealthIndicatorFunction[] {
    return this.checks.map((check) => () => this.run(check));
  }

  /** What is not required cannot fail the whole: it is degraded. */
  private async run(check: Check): Promise<HealthIndicatorResult> {
    const result = await this[check]().withTimeout(CHECK_TIMEOUT_MS);
    const { status, ...details } = { ...result[check] };
    if (status !== 'down' || isRequired(check)) return result;
    return this.indicators.check(check).degraded(details);
  }

  /** Whether PostgreSQL answers on the very connections that events are accepted and delivered with. */
  private database(): HealthCheckAttempt {
    return this.indicators.check('database').attempt(async () => {
      await this.lagStore.ping(SILENT_FACTOR * this.timings.silentStatementMs).catch(() => {
        throw new Error('does not answer');
      });
      return { clockSkewMs: Math.round(this.clock.skewMs) };
    });
  }

  /** Whether it takes events. An open connection proves nothing: Redis may be stopped, or full. */
  private queue(): HealthCheckAttempt {
    return this.indicators.check('queue').attempt(async () => {
      await this.deliveryQueue.ping().catch(() => {
        throw new Error('does not answer');
      });
      return { kind: this.deliveryQueue.kind };
    });
  }

  /** The way between the live connections of several nodes. */
  private bus(): HealthCheckAttempt {
    return this.indicators.check('bus').attempt(() => {
      const { isAlone, isConnected } = this.realtimeBus;
      if (!isConnected) throw new Error('is not connected');
      return { kind: isAlone ? 'in-process' : 'redis' };
    });
  }

  /** Never makes a node unready: fewer nodes would only make a backlog longer. */
  private lag(): HealthCheckAttempt {
    return this.indicators
      .check('lag')
      .attempt(async () => ({ oldestDueMs: await this.lagStore.oldestDueMs() }));
  }
}

import { Inject, Injectable, Logger } from '@nestjs/common';
import { TIMINGS, type Timings } from '../../config/timings.js';
import { NotificationListener } from '../../database/notification.listener.js';
import { logFailure } from '../../shared/log-failure.js';
import { PollLoop } from '../../shared/poll-loop.timer.js';
import { DeliveryWorker } from '../sending/worker.service.js';
import { DeliverySignals } from '../signals/delivery-signals.service.js';
import { type Claims, ClaimsService } from './claims.service.js';
import { Expiry } from './expiry.service.js';

/** Rows per claim. */
const BATCH = 200;
/** Rows that are due at nearly the same time are claimed together. */
const MIN_GAP_MS = 10;
const MAX_ERROR_WAIT_MS = 5_000;

/**
 * Claims what is due and submits it to the worker of this process: retries, events that the queue
 * lost, rows with a lost lease. Also ends deliveries that expire while they are pending. Sweepers of
 * several nodes run side by side: each row is claimed by one of them.
 */
@Injectable()
export class Sweeper {
  private readonly logger = new Logger(Sweeper.name);
  private readonly loop: PollLoop;
  private nextExpiryAtMs = 0;

  constructor(
    private readonly claims: ClaimsService,
    private readonly expiry: Expiry,
    private readonly worker: DeliveryWorker,
    private readonly notifications: NotificationListener,
    private readonly signals: DeliverySignals,
    @Inject(TIMINGS) private readonly timings: Timings,
  ) {
    this.loop = new PollLoop({
      run: async () => ((await this.sweep()) ? 0 : undefined),
      onError: (error) => logFailure(this.logger, 'error', 'cannot claim what is due', error),
      everyMs: timings.sweepEveryMs,
      maxErrorWaitMs: MAX_ERROR_WAIT_MS,
      minGapMs: MIN_GAP_MS,
    });
  }

  start(): void {
    this.signals.on('due', (inMs) => this.loop.wakeIn(inMs));
    this.notifications.on('due', () => this.loop.wakeIn(0));
    this.loop.start();
  }

  async stop(): Promise<void> {
    await this.loop.stop();
  }

  /** @returns whether there may be more */
  private async sweep(): Promise<boolean> {
    const isMoreExpired = await this.endExpired();
    await this.worker.waitForCapacity(BATCH);
    const isMoreDue = await this.submit((limit) => this.claims.dueDeliveries(limit));
    const areMoreEvents = await this.submit((limit) => this.claims.dueEvents(limit));
    return isMoreExpired || isMoreDue || areMoreEvents;
  }

  /** Not in each sweep: no caller waits for it. @returns whether there may be more */
  private async endExpired(): Promise<boolean> {
    const nowMs = performance.now();
    if (nowMs < this.nextExpiryAtMs) return false;
    const ended = await this.expiry.end(BATCH);
    if (ended === BATCH) return true;
    this.nextExpiryAtMs = nowMs + this.timings.sweepEveryMs;
    return false;
  }

  private async submit(claim: (limit: number) => Promise<Claims>): Promise<boolean> {
    const limit = Math.min(this.worker.freeCapacity, BATCH);
    if (limit === 0) return false;
    const { tasks, rows, areSplit = false } = await claim(limit);
    this.worker.submit(tasks);
    return areSplit || rows === limit;
  }
}

import { Inject, Injectable, Logger } from '@nestjs/common';
import { TIMINGS, type Timings } from '../../config/timings.js';
import { NotificationListener } from '../../database/notification.listener.js';
import { logFailure } from '../../shared/log-failure.js';
import { PollLoop } from '../../shared/poll-loop.timer.js';
import type { DeliveryTask } from '../sending/task.js';
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
  private quarantined: DeliveryTask | undefined;
  private nextQuarantinedAtMs = 0;
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
    this.signals.on('settled', (task) => this.onSettled(task));
    this.notifications.on('due', () => this.loop.wakeIn(0));
    this.loop.start();
  }

  async stop(): Promise<void> {
    await this.loop.stop();
  }

  /** @returns whether a claim was as large as it could be */
  private async sweep(): Promise<boolean> {
    const isMoreExpired = await this.endExpired();
    await this.worker.waitForCapacity(BATCH);
    await this.submitQuarantined();
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

  /** One at a time: a crash that it causes must not lose the lease of another one under quarantine. */
  private async submitQuarantined(): Promise<void> {
    const nowMs = performance.now();
    if (this.quarantined || nowMs < this.nextQuarantinedAtMs) return;
    if (this.worker.freeCapacity === 0) return;
    this.nextQuarantinedAtMs = nowMs + this.timings.sweepEveryMs;
    this.quarantined = await this.claims.quarantined();
    if (this.quarantined) this.worker.submit([this.quarantined]);
  }

  private onSettled(task: DeliveryTask): void {
    if (task !== this.quarantined) return;
    this.quarantined = undefined;
    this.nextQuarantinedAtMs = 0;
    this.loop.wakeIn(0);
  }

  private async submit(claim: (limit: number) => Promise<Claims>): Promise<boolean> {
    const limit = Math.min(this.worker.freeCapacity, BATCH);
    if (limit === 0) return false;
    const { tasks, rows } = await claim(limit);
    this.worker.submit(tasks);
    return rows === limit;
  }
}

import {
  type BeforeApplicationShutdown,
  Inject,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { TIMINGS, type Timings } from '../config/timings.js';
import { logFailure } from '../shared/log-failure.js';
import { ClaimsService } from './claims/claims.service.js';
import { Sweeper } from './claims/sweeper.service.js';
import { DeferredDeliveriesStore } from './deferred/deferred.store.js';
import { DeferredScheduler } from './deferred/scheduler.service.js';
import type { DeliveryTask } from './sending/task.js';
import { SlowAttempts } from './sending/slow-attempts.service.js';
import { DeliveryWorker } from './sending/worker.service.js';
import { DeliverySignals } from './signals/delivery-signals.service.js';

/** Starts what brings tasks to the worker, and stops all of it in order. */
@Injectable()
export class DeliveryLifecycle implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly logger = new Logger(DeliveryLifecycle.name);

  constructor(
    private readonly worker: DeliveryWorker,
    private readonly slowAttempts: SlowAttempts,
    private readonly sweeper: Sweeper,
    private readonly scheduler: DeferredScheduler,
    private readonly claims: ClaimsService,
    private readonly deferred: DeferredDeliveriesStore,
    private readonly signals: DeliverySignals,
    @Inject(TIMINGS) private readonly timings: Timings,
  ) {}

  onApplicationBootstrap(): void {
    this.signals.on('refused', (tasks) => void this.release(tasks));
    this.slowAttempts.start();
    this.sweeper.start();
    this.scheduler.start();
  }

  /** Before the connections close: the last outcomes have to be written, and leases released. */
  async beforeApplicationShutdown(): Promise<void> {
    const [unfinished] = await Promise.all([
      this.worker.drain(this.timings.drainMs),
      this.sweeper.stop(),
      this.scheduler.stop(),
    ]);
    await this.slowAttempts.stop();
    await this.release(unfinished);
    // Last: the node that serves an exclusive webhook next must find the state of its deliveries.
    await this.scheduler.releaseLeases();
  }

  private async release(tasks: readonly DeliveryTask[]): Promise<void> {
    if (tasks.length === 0) return;
    const pulled = tasks.filter(({ source }) => source.kind === 'deferred');
    try {
      await this.claims.release(tasks);
      await this.deferred.release(
        pulled.map(({ deliveryId, token }) => ({ id: deliveryId, token })),
      );
    } catch (error) {
      const fields = { deliveries: tasks.length };
      logFailure(this.logger, 'warn', 'leases are not released: they end in time', error, fields);
    }
  }
}

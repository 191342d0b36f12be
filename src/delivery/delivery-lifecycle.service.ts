import {
  type BeforeApplicationShutdown,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { ClaimsService } from './claims/claims.service.js';
import type { DeliveryTask } from './sending/task.js';
import { DeliveryWorker } from './sending/worker.service.js';
import { DeliverySignals } from './signals/delivery-signals.service.js';
import { DeferredScheduler } from './deferred/scheduler.service.js';
import { Sweeper } from './claims/sweeper.service.js';

/** How long attempts in flight may take to end after SIGTERM; orchestrators kill after 30 s. */
const DRAIN_MS = 10_000;

/** Connects the worker to everything that brings it work, and takes it off again in order. */
@Injectable()
export class DeliveryLifecycle implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly logger = new Logger(DeliveryLifecycle.name);

  constructor(
    private readonly worker: DeliveryWorker,
    private readonly sweeper: Sweeper,
    private readonly puller: DeferredScheduler,
    private readonly claims: ClaimsService,
    private readonly signals: DeliverySignals,
  ) {}

  onApplicationBootstrap(): void {
    this.signals.on('refused', (tasks) => void this.release(tasks));
    this.sweeper.start();
    this.puller.start();
  }

  /** Before any connection closes: the last outcomes and the returned leases still have to be written. */
  async beforeApplicationShutdown(): Promise<void> {
    const [unfinished] = await Promise.all([
      this.worker.drain(DRAIN_MS),
      this.sweeper.stop(),
      this.puller.stop(),
    ]);
    await this.release(unfinished);
    // Only now: whoever takes a lane must find what was out in it.
    await this.puller.releaseLeases();
  }

  private async release(tasks: readonly DeliveryTask[]): Promise<void> {
    if (tasks.length === 0) return;
    await this.claims.release(tasks).catch((error: unknown) => {
      this.logger.warn(`leases are left to end by themselves: ${String(error)}`);
    });
  }
}

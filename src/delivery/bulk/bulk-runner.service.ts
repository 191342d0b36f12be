import {
  type BeforeApplicationShutdown,
  Inject,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { TIMINGS, type Timings } from '../../config/timings.js';
import { NotificationListener } from '../../database/notification.listener.js';
import { logFailure } from '../../shared/log-failure.js';
import { PollLoop } from '../../shared/poll-loop.timer.js';
import { BulkStep } from './bulk-step.service.js';
import { BulkStepStore } from './bulk-step.store.js';

const MAX_ERROR_WAIT_MS = 5_000;

/**
 * Works off bulk operations step by step, in every worker; they share the work by row locks. Other
 * deliveries go first, and a store outage of any length only delays it.
 */
@Injectable()
export class BulkRunner implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly logger = new Logger(BulkRunner.name);
  private readonly loop: PollLoop;

  constructor(
    private readonly bulkStep: BulkStep,
    private readonly store: BulkStepStore,
    private readonly notifications: NotificationListener,
    @Inject(TIMINGS) private readonly timings: Timings,
  ) {
    this.loop = new PollLoop({
      run: () => this.round(),
      onError: (error) =>
        logFailure(this.logger, 'error', 'a step of a bulk operation failed, trying again', error),
      everyMs: timings.bulkPollMs,
      maxErrorWaitMs: MAX_ERROR_WAIT_MS,
    });
  }

  onApplicationBootstrap(): void {
    this.notifications.on('operations', () => this.loop.wakeIn(0));
    this.loop.start();
  }

  /** Before any connection closes, so that a running step can commit. */
  beforeApplicationShutdown(): Promise<void> {
    return this.loop.stop();
  }

  /** @returns milliseconds until there may be something to do; undefined: nothing is planned */
  private async round(): Promise<number | undefined> {
    const { inMs, isBehind } = await this.store.next();
    if (inMs === null) return undefined;
    if (inMs > 0) return inMs;
    if (isBehind) return this.timings.bulkYieldMs;
    // If a target is due and cannot be locked, another node works on it.
    return (await this.bulkStep.step()) ? 0 : this.timings.bulkYieldMs;
  }
}

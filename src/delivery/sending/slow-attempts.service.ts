import { Inject, Injectable, Logger } from '@nestjs/common';
import { TIMINGS, type Timings } from '../../config/timings.js';
import { logFailure } from '../../shared/log-failure.js';
import { PollLoop } from '../../shared/poll-loop.timer.js';
import { DeliveryWorker } from './worker.service.js';

/**
 * Has attempts marked that take long. A crash most often meets those, and the mark says that the
 * receiver has seen them; for all others it would cost more than it is worth.
 */
@Injectable()
export class SlowAttempts {
  private readonly logger = new Logger(SlowAttempts.name);
  private readonly loop: PollLoop;

  constructor(worker: DeliveryWorker, @Inject(TIMINGS) { attemptMarkMs }: Timings) {
    this.loop = new PollLoop({
      run: async () => {
        await worker.markAttempts(attemptMarkMs);
        return undefined;
      },
      onError: (error) => logFailure(this.logger, 'warn', 'attempts are not marked', error),
      everyMs: attemptMarkMs / 2,
      maxErrorWaitMs: 5 * attemptMarkMs,
    });
  }

  start(): void {
    this.loop.start();
  }

  async stop(): Promise<void> {
    await this.loop.stop();
  }
}

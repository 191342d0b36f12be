import {
  type BeforeApplicationShutdown,
  Inject,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
  type OnModuleInit,
} from '@nestjs/common';
import { TIMINGS, type Timings } from '../config/timings.js';
import { logFailure } from '../shared/log-failure.js';
import { PollLoop } from '../shared/poll-loop.timer.js';
import { RetentionService } from './retention.service.js';

/** Runs retention for as long as the process lives, through outages of any length. */
@Injectable()
export class RetentionLoop
  implements OnModuleInit, OnApplicationBootstrap, BeforeApplicationShutdown
{
  private readonly logger = new Logger(RetentionLoop.name);
  private readonly stopping = new AbortController();
  private readonly loop: PollLoop;

  constructor(
    private readonly retention: RetentionService,
    @Inject(TIMINGS) timings: Timings,
  ) {
    this.loop = new PollLoop({
      run: async () => {
        await this.retention.run(Date.now(), this.stopping.signal);
        return undefined;
      },
      onError: (error) =>
        logFailure(this.logger, 'error', 'retention has failed and is tried again', error),
      everyMs: timings.retentionEveryMs,
      minErrorWaitMs: timings.retentionErrorWaitMs,
      maxErrorWaitMs: timings.retentionMaxErrorWaitMs,
    });
  }

  /** Before the first event: a partition is created fastest while nothing is written. */
  async onModuleInit(): Promise<void> {
    try {
      await this.retention.prepare(Date.now());
    } catch (error) {
      logFailure(this.logger, 'warn', 'partitions are created later', error);
    }
  }

  onApplicationBootstrap(): void {
    this.loop.start();
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.stopping.abort();
    await this.loop.stop();
  }
}

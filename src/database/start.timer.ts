import { Logger } from '@nestjs/common';
import type { Timings } from '../config/timings.js';
import { retryUntilDone } from '../shared/retry.timer.js';
import { mayPass, startError } from './database-start.js';

/** Of the first connections and reads of a process: a store that is away for a while ends no start. */
export class StartPeriod {
  private readonly logger = new Logger('PostgreSQL');
  private readonly startedAtMs = performance.now();
  private isReported = false;

  constructor(private readonly timings: Timings) {}

  /**
   * Repeats it while PostgreSQL is away, within `databaseStartMs` of the start.
   * @throws DatabaseStartError that says what is wrong
   */
  async untilDone<T>(run: () => Promise<T>): Promise<T> {
    const { databaseStartMs, databaseStartRetryMs } = this.timings;
    const elapsedMs = () => performance.now() - this.startedAtMs;
    try {
      return await retryUntilDone(run, {
        isFinal: (error) => !mayPass(error) || elapsedMs() > databaseStartMs,
        onError: (error) => this.report(error),
        minWaitMs: databaseStartRetryMs,
        maxWaitMs: databaseStartRetryMs,
      });
    } catch (error) {
      throw startError(error, elapsedMs());
    }
  }

  private report(error: unknown): void {
    if (this.isReported) return;
    this.isReported = true;
    this.logger.warn(`is not available, waiting for it: ${(error as Error).message}`);
  }
}

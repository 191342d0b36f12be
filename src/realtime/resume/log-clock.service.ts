import { setTimeout as delay } from 'node:timers/promises';
import { Inject, Injectable, Logger } from '@nestjs/common';
import { TIMINGS, type Timings } from '../../config/timings.js';
import { logFailure } from '../../shared/log-failure.js';
import { FairSemaphore } from './fair-semaphore.js';
import { positionText } from './log-position.js';
import { LogReaderStore } from './log-reader.store.js';
import { RequestCoalescer } from './request-coalescer.js';

/** Between two reads: a crowd that connects at once needs a hundred in a second at most. */
const PAUSE_MS = 10;
const ONE_AT_A_TIME = { running: 1, runningPerOwner: 1, waitingPerOwner: 1 };

/**
 * Says where the log is now, for clients that have received no event yet. The reads of connections that
 * ask at the same time are shared.
 */
@Injectable()
export class LogClock {
  private readonly logger = new Logger(LogClock.name);
  private readonly reads = new RequestCoalescer<undefined, string>({
    semaphore: new FairSemaphore(ONE_AT_A_TIME),
    read: () => this.read(),
    pause: () => delay(PAUSE_MS, undefined, { ref: false }),
  });
  private latest: string | undefined;
  private isAway = false;

  constructor(
    private readonly log: LogReaderStore,
    @Inject(TIMINGS) private readonly timings: Pick<Timings, 'positionWaitMs'>,
  ) {}

  /**
   * A position that everything commits after that is committed after the call. While PostgreSQL does
   * not answer: the last one that is known, from which a client is sent more than it missed; or
   * undefined.
   */
  async now(): Promise<string | undefined> {
    const read = this.reads.get('', undefined, '').catch((error: unknown) => this.failed(error));
    if (this.isAway) return this.latest;
    const stop = new AbortController();
    const late = delay(this.timings.positionWaitMs, undefined, { signal: stop.signal, ref: false });
    const wait = late.then(
      () => this.failed(new Error('PostgreSQL has not answered in time')),
      () => this.latest,
    );
    try {
      return await Promise.race([read, wait]);
    } finally {
      stop.abort();
    }
  }

  private async read(): Promise<string> {
    this.latest = positionText(await this.log.moment());
    this.isAway = false;
    return this.latest;
  }

  /** Until a read succeeds no connection waits. */
  private failed(error: unknown): string | undefined {
    if (!this.isAway) logFailure(this.logger, 'warn', 'positions of the log are not read', error);
    this.isAway = true;
    return this.latest;
  }
}

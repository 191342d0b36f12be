import { performance } from 'node:perf_hooks';
import { Injectable, Logger, type OnApplicationShutdown } from '@nestjs/common';
import { TIMINGS, type Timings } from '../config/timings.js';
import { logFailure } from '../shared/log-failure.js';
import { PollLoop } from '../shared/poll-loop.timer.js';
import { ClockOffset } from './clock-offset.js';
import { ClockStore } from './clock.store.js';

/** From then on the operator is warned: certificates, tokens and logs use the machine's own clock. */
const MAX_SKEW_MS = 5_000;

/**
 * The time of the installation: that of the database's server. Whatever is signed, stored or compared
 * with times of other nodes uses it, so that a machine whose clock is wrong loses and repeats nothing.
 */
@Injectable()
export class Clock implements OnApplicationShutdown {
  private readonly logger = new Logger(Clock.name);
  private readonly offset = new ClockOffset();
  private readonly loop: PollLoop;
  private wasWrong = false;

  private constructor(
    private readonly store: Pick<ClockStore, 'nowMs'>,
    { clockSyncMs }: Pick<Timings, 'clockSyncMs'>,
  ) {
    this.loop = new PollLoop({
      run: async () => {
        await this.synchronize();
        this.warnOfSkew();
        return undefined;
      },
      onError: (error) =>
        logFailure(this.logger, 'warn', 'the clock was not compared with the database', error),
      everyMs: clockSyncMs,
      maxErrorWaitMs: clockSyncMs,
    });
  }

  /** A clock that has been compared: no node works with a wrong time even for its first moments. */
  static async synchronized(
    store: Pick<ClockStore, 'nowMs'>,
    timings: Pick<Timings, 'clockSyncMs'>,
  ): Promise<Clock> {
    const clock = new Clock(store, timings);
    await clock.synchronize();
    clock.loop.start();
    return clock;
  }

  /** Whole milliseconds since 1970. */
  nowMs(): number {
    return Math.floor(performance.now() + this.offset.ms);
  }

  now(): Date {
    return new Date(this.nowMs());
  }

  /** What the clock of this machine is ahead of the database's, in milliseconds. */
  get skewMs(): number {
    return Date.now() - this.nowMs();
  }

  /** A time of the database that a statement returned, and when it was sent (`performance.now()`). */
  observe(storeMs: number, sentMs: number): void {
    this.offset.observe(storeMs, sentMs, performance.now());
  }

  onApplicationShutdown(): Promise<void> {
    return this.loop.stop();
  }

  private async synchronize(): Promise<void> {
    const sentMs = performance.now();
    this.observe(await this.store.nowMs(), sentMs);
  }

  private warnOfSkew(): void {
    const isWrong = Math.abs(this.skewMs) > MAX_SKEW_MS;
    if (isWrong && !this.wasWrong) {
      const seconds = Math.round(this.skewMs / 1_000);
      this.logger.warn({ message: 'the clock of this machine differs from the database', seconds });
    }
    this.wasWrong = isWrong;
  }
}

/** The provider: it is there, and compared, before anything that uses it is made. */
export const clockProvider = {
  provide: Clock,
  useFactory: (store: ClockStore, timings: Timings) => Clock.synchronized(store, timings),
  inject: [ClockStore, TIMINGS],
};

import { setTimeout as delay } from 'node:timers/promises';
import { Logger } from '@nestjs/common';
import { PRODUCTION_TIMINGS } from '../config/timings.js';
import { logFailure } from '../shared/log-failure.js';
import type { Channel, NotificationListener } from './notification.listener.js';
import { StartPeriod } from './start.timer.js';

/** Short against the delay that users notice, long against a read. */
const MIN_GAP_MS = 20;

export interface TableCacheOptions {
  /** What is read, for the log: `the webhooks`. */
  what: string;
  /** Where changes are notified. */
  channel: Channel;
  /** Reads what has changed. Not called again before it has settled. */
  read: () => Promise<void>;
  /** Milliseconds between reads without a notification: what a lost notification costs. */
  pollMs: number;
  /** Milliseconds between a read and the next one on notification, so that several share one. */
  minGapMs?: number;
}

/**
 * Keeps a copy of a table in memory: reads at the start, on notification, and at intervals in case a
 * notification was lost. One read at a time; a change during a read, which may have missed it, leads
 * to another read. A failed read is logged and leaves the copy as it was.
 */
export class TableCache {
  private readonly logger = new Logger(TableCache.name);
  private readonly minGapMs: number;
  /** Settles, and never fails, after all reads that have been requested. */
  private last: Promise<unknown> = Promise.resolve();
  /** The read that has not started yet: new callers share it. */
  private next: Promise<void> | undefined;
  /** There was a notification, and no read has started since. */
  private isDue = false;
  private isReading = false;
  private isStopped = false;
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly notifications: NotificationListener,
    private readonly options: TableCacheOptions,
  ) {
    this.minGapMs = options.minGapMs ?? MIN_GAP_MS;
  }

  /** Reads for the first time and then follows the table. Fails if the first read does for good. */
  async start(): Promise<void> {
    await new StartPeriod(PRODUCTION_TIMINGS).untilDone(() => this.refresh());
    if (this.isStopped) return;
    this.notifications.on(this.options.channel, () => this.readSoon());
    this.timer = setInterval(() => this.readSoon(), this.options.pollMs).unref();
  }

  /** Stops following; settles when the present read has ended. {@link refresh} still works. */
  async stop(): Promise<void> {
    this.isStopped = true;
    clearInterval(this.timer);
    await this.last;
  }

  /**
   * Reads every change that was committed before the call: settles with a read that started after it.
   * Callers during a read share the next one.
   */
  refresh(): Promise<void> {
    if (this.next) return this.next;
    const next = this.last.then(() => {
      this.next = undefined;
      this.isDue = false;
      return this.options.read();
    });
    this.next = next;
    this.last = next.catch(() => undefined);
    return next;
  }

  private readSoon(): void {
    this.isDue = true;
    if (!this.isReading) void this.readWhileDue();
  }

  private async readWhileDue(): Promise<void> {
    this.isReading = true;
    while (this.isDue && !this.isStopped) {
      await this.refresh().catch((error: unknown) =>
        logFailure(this.logger, 'warn', `cannot read ${this.options.what}; the copy stays`, error),
      );
      await delay(this.minGapMs, undefined, { ref: false });
    }
    this.isReading = false;
  }
}

import { setTimeout as delay } from 'node:timers/promises';
import { Logger } from '@nestjs/common';
import { logFailure } from '../shared/log-failure.js';
import type { Channel, NotificationListener } from './notification.listener.js';

/** Short against what a person notices, long against a read. */
const MIN_GAP_MS = 20;

export interface TableCacheOptions {
  /** What is read, for the log: `the webhooks`. */
  what: string;
  /** Where changes are told. */
  channel: Channel;
  /** Takes in what has changed. Called again only after it has settled. */
  read: () => Promise<void>;
  /** Milliseconds after which it looks although nobody told it to: what a lost notification costs. */
  pollMs: number;
  /** Milliseconds of rest after a read that nobody waits for: notifications that come together are one. */
  minGapMs?: number;
}

/**
 * Keeps a copy in memory close to a table: reads at the start, when a notification says that something
 * changed, and now and then in case one was lost. One read at a time; a change that is told while one
 * is under way, which may have looked before it, is read by another one. A read that fails is logged,
 * and the copy stays as it was until the next one.
 */
export class TableCache {
  private readonly logger = new Logger(TableCache.name);
  private readonly minGapMs: number;
  /** Settles, and never fails, when everything that was asked for until now has been read. */
  private last: Promise<unknown> = Promise.resolve();
  /** The read that has not begun yet: whoever comes now can share it. */
  private next: Promise<void> | undefined;
  /** A change was told that no read has begun after. */
  private isDue = false;
  private isBusy = false;
  private isStopped = false;
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly notifications: NotificationListener,
    private readonly options: TableCacheOptions,
  ) {
    this.minGapMs = options.minGapMs ?? MIN_GAP_MS;
  }

  /** Reads for the first time, and follows from then on. Fails if the first read does. */
  async start(): Promise<void> {
    await this.refresh();
    if (this.isStopped) return;
    this.notifications.on(this.options.channel, () => this.readSoon());
    this.timer = setInterval(() => this.readSoon(), this.options.pollMs).unref();
  }

  /** Follows no longer; settles when what is being read has been. {@link refresh} goes on working. */
  async stop(): Promise<void> {
    this.isStopped = true;
    clearInterval(this.timer);
    await this.last;
  }

  /**
   * Takes in every change that was committed before the call: settles with a read that began after it.
   * Those who call while one is under way share the next one.
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
    if (!this.isBusy) void this.readWhileDue();
  }

  private async readWhileDue(): Promise<void> {
    this.isBusy = true;
    while (this.isDue && !this.isStopped) {
      await this.refresh().catch((error: unknown) =>
        logFailure(this.logger, 'warn', `cannot read ${this.options.what}; the copy stays`, error),
      );
      await delay(this.minGapMs, undefined, { ref: false });
    }
    this.isBusy = false;
  }
}

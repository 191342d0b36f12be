import {
  type BeforeApplicationShutdown,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
  type OnModuleInit,
} from '@nestjs/common';
import { setTimeout as delay } from 'node:timers/promises';
import { RetentionService } from './retention.service.js';

/** A day ends once a day; the row-by-row rest and the keys are less of a load in small portions. */
const EVERY_MS = 10 * 60_000;
const MIN_ERROR_WAIT_MS = 5_000;
const MAX_ERROR_WAIT_MS = 5 * 60_000;

/** Tends the log for as long as the process lives, through store outages of any length. */
@Injectable()
export class RetentionLoop
  implements OnModuleInit, OnApplicationBootstrap, BeforeApplicationShutdown
{
  private readonly logger = new Logger(RetentionLoop.name);
  private readonly stopping = new AbortController();
  private loop: Promise<void> | undefined;

  constructor(private readonly retention: RetentionService) {}

  /** Before the first event: a partition is made fastest while nobody writes. */
  async onModuleInit(): Promise<void> {
    try {
      await this.retention.prepare(Date.now());
    } catch (error) {
      this.logger.warn(`partitions are not made yet, trying again later: ${String(error)}`);
    }
  }

  onApplicationBootstrap(): void {
    this.loop = this.run();
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.stopping.abort();
    await this.loop;
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping;
    let errors = 0;
    while (!signal.aborted) {
      let waitMs = EVERY_MS;
      try {
        await this.retention.tend(Date.now(), signal);
        errors = 0;
      } catch (error) {
        waitMs = Math.min(MIN_ERROR_WAIT_MS * 2 ** errors++, MAX_ERROR_WAIT_MS);
        this.logger.error(`the log could not be tended, trying again: ${String(error)}`);
      }
      await delay(waitMs, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }
}

import { performance } from 'node:perf_hooks';
import type { Logger } from '@nestjs/common';
import { logFailure } from '../shared/log-failure.js';

/** A store that is away fails several times a second, and for minutes. */
const EVERY_MS = 10_000;

/** Logs a failure that repeats: the first one, then one line in ten seconds, with their number. */
export class FailureLog {
  private isFailing = false;
  private nextLineMs = -Infinity;
  private unlogged = 0;

  /**
   * @param message what fails, and what happens instead
   * @param over what is logged when it works again; absent: nothing
   */
  constructor(
    private readonly logger: Logger,
    private readonly message: string,
    private readonly over?: string,
  ) {}

  failed(error: unknown, fields: Readonly<Record<string, unknown>> = {}): void {
    this.isFailing = true;
    const nowMs = performance.now();
    if (nowMs < this.nextLineMs) {
      this.unlogged++;
      return;
    }
    const repeated = this.unlogged > 0 ? { alsoBefore: this.unlogged } : {};
    logFailure(this.logger, 'warn', this.message, error, { ...fields, ...repeated });
    this.nextLineMs = nowMs + EVERY_MS;
    this.unlogged = 0;
  }

  worked(): void {
    if (!this.isFailing) return;
    this.isFailing = false;
    if (this.over !== undefined) this.logger.log(this.over);
  }
}

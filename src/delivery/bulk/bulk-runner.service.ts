import {
  type BeforeApplicationShutdown,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { NotificationListener } from '../../database/notification.listener.js';
import { BulkStep } from './bulk-step.service.js';
import { BulkStepStore } from './bulk-step.store.js';

/** How often it looks although nothing told it to: this bounds what a lost hint can cost. */
const POLL_MS = 1_000;
/** While the workers are behind with what is due anyway. */
const YIELD_MS = 500;
const MAX_ERROR_WAIT_MS = 5_000;

/**
 * Works bulk operations off, step by step, in every process that delivers; they share the work by
 * row locks. It makes room for ordinary deliveries, and survives a store outage of any length.
 */
@Injectable()
export class BulkRunner implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly logger = new Logger(BulkRunner.name);
  private loop: Promise<void> | undefined;
  private isStopped = false;
  private isHinted = false;
  private wake: () => void = () => undefined;

  constructor(
    private readonly work: BulkStep,
    private readonly store: BulkStepStore,
    private readonly notifications: NotificationListener,
  ) {}

  onApplicationBootstrap(): void {
    this.notifications.on('operations', () => {
      this.isHinted = true;
      this.wake();
    });
    this.loop = this.run();
  }

  /** Before any connection closes: a step that is under way still commits. */
  async beforeApplicationShutdown(): Promise<void> {
    this.isStopped = true;
    this.wake();
    await this.loop;
  }

  private async run(): Promise<void> {
    let errors = 0;
    while (!this.isStopped) {
      let waitMs: number;
      try {
        waitMs = await this.turn();
        errors = 0;
      } catch (error) {
        errors++;
        this.logger.error(`bulk operations cannot go on, trying again: ${String(error)}`);
        waitMs = Math.min(POLL_MS * errors, MAX_ERROR_WAIT_MS);
      }
      if (waitMs > 0) await this.pause(waitMs);
    }
  }

  /** @returns how long there is nothing to do */
  private async turn(): Promise<number> {
    this.isHinted = false;
    const { inMs, isBehind } = await this.store.next();
    if (inMs === null) return POLL_MS;
    if (inMs > 0) return Math.min(inMs, POLL_MS);
    if (isBehind) return YIELD_MS;
    // None, although one is due: another process has it.
    return (await this.work.step()) ? 0 : YIELD_MS;
  }

  private async pause(ms: number): Promise<void> {
    if (this.isStopped || this.isHinted) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.wake = () => undefined;
  }
}

import {
  Injectable,
  Logger,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
} from '@nestjs/common';
import { FanoutService } from '../fanout/fanout.service.js';
import { Subscriptions } from '../subscriptions/subscriptions.service.js';
import { LogReaderStore } from './log-reader.store.js';

const TICK_MS = 1_000;
/** Events that are fetched at once. */
const SLICE = 500;

/**
 * Compares what the bus has brought with what the log says, and sends what is missing: after an outage
 * of Redis, or when the process that accepted an event died before it could tell. So what is in the
 * log reaches every client that is connected, some seconds late at worst.
 *
 * Each look covers the events that were committed between the last two looks but one: what is younger
 * may simply be on its way.
 */
@Injectable()
export class GapFiller implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly logger = new Logger(GapFiller.name);
  private timer: NodeJS.Timeout | undefined;
  private looking: Promise<void> | undefined;
  private earlier: string | undefined;
  private later: string | undefined;
  private isAway = false;

  constructor(
    private readonly history: LogReaderStore,
    private readonly fanout: FanoutService,
    private readonly subscriptions: Subscriptions,
  ) {}

  onApplicationBootstrap(): void {
    this.timer = setInterval(() => {
      this.looking ??= this.tick().finally(() => (this.looking = undefined));
    }, TICK_MS).unref();
  }

  async onModuleDestroy(): Promise<void> {
    clearInterval(this.timer);
    await this.looking;
  }

  private async tick(): Promise<void> {
    try {
      const now = await this.history.snapshot();
      if (this.earlier !== undefined && this.later !== undefined) {
        await this.fill(this.earlier, this.later);
      }
      // Only now: a look that failed is repeated, with everything that it should have covered.
      this.earlier = this.later;
      this.later = now;
      this.isAway = false;
    } catch (error) {
      if (!this.isAway) this.logger.warn(`cannot compare with the log: ${String(error)}`);
      this.isAway = true;
    }
  }

  private async fill(earlier: string, later: string): Promise<void> {
    if (this.subscriptions.isEmpty) return;
    const ids = await this.history.committedBetween(earlier, later);
    const missing = ids.filter((id) => !this.fanout.hasDelivered(id));
    if (missing.length === 0) return;
    this.logger.warn(`${missing.length} events came neither over the bus nor from here`);
    for (let start = 0; start < missing.length; start += SLICE) {
      this.fanout.deliver(await this.history.events(missing.slice(start, start + SLICE)));
    }
  }
}

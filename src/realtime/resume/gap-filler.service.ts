import {
  Inject,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
} from '@nestjs/common';
import { TIMINGS, type Timings } from '../../config/timings.js';
import { logFailure } from '../../shared/log-failure.js';
import { PollLoop } from '../../shared/poll-loop.timer.js';
import { FanoutService } from '../fanout/fanout.service.js';
import { Subscriptions } from '../subscriptions/subscriptions.service.js';
import { LogReaderStore } from './log-reader.store.js';

/** Events that are read at once. */
const EVENTS_AT_ONCE = 500;

/**
 * Compares what came over the bus with the log and sends what is missing: after an outage of Redis, or
 * when the node that accepted an event died before it could publish it. So every logged event reaches
 * the connected clients, some seconds late at worst.
 *
 * Each round covers the events that were committed between the snapshots of the last two rounds:
 * younger ones may still be on their way.
 */
@Injectable()
export class GapFiller implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly logger = new Logger(GapFiller.name);
  private readonly loop: PollLoop;
  private earlier: string | undefined;
  private later: string | undefined;
  private isAway = false;

  constructor(
    private readonly log: LogReaderStore,
    private readonly fanout: FanoutService,
    private readonly subscriptions: Subscriptions,
    @Inject(TIMINGS) { gapFillMs }: Timings,
  ) {
    this.loop = new PollLoop({
      run: () => this.compare(),
      onError: (error) => this.failed(error),
      everyMs: gapFillMs,
      maxErrorWaitMs: gapFillMs,
    });
  }

  onApplicationBootstrap(): void {
    this.loop.start();
  }

  async onModuleDestroy(): Promise<void> {
    await this.loop.stop();
  }

  private async compare(): Promise<undefined> {
    const { snapshot: now } = await this.log.moment();
    if (this.earlier !== undefined && this.later !== undefined) {
      await this.fill(this.earlier, this.later);
    }
    // Not before that: a round that failed is repeated with everything that it should have covered.
    this.earlier = this.later;
    this.later = now;
    this.isAway = false;
  }

  private async fill(earlier: string, later: string): Promise<void> {
    const ids = await this.log.committedBetween(earlier, later);
    const missing = ids.filter((id) => !this.fanout.hasDelivered(id));
    if (missing.length === 0) return;
    // Also without subscribers: what the bus brings later would be news to those that come meanwhile.
    if (this.subscriptions.isEmpty) return this.fanout.markDelivered(missing);
    this.logger.warn(
      `${missing.length} events did not come over the bus and are sent from the log`,
    );
    for (let start = 0; start < missing.length; start += EVENTS_AT_ONCE) {
      this.fanout.deliver(await this.log.events(missing.slice(start, start + EVENTS_AT_ONCE)));
    }
  }

  private failed(error: unknown): void {
    if (!this.isAway) logFailure(this.logger, 'warn', 'cannot compare the bus with the log', error);
    this.isAway = true;
  }
}

import {
  Inject,
  Injectable,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
} from '@nestjs/common';
import { OPERATOR } from '../../shared/visibility.js';
import { CONFIG } from '../../config/config.module.js';
import type { Config } from '../../config/env.js';
import { SystemEvents } from '../../system-events/system-events.service.js';
import { RealtimeBus } from '../../cluster/realtime-bus.client.js';
import { RealtimeCounters } from './realtime-counters.service.js';
import { type RealtimeTotals, RealtimeTotalsStore } from './realtime-totals.store.js';

/**
 * Publishes the counters of this node, and the totals of all nodes and owners, at an interval, as the
 * event `broadcast-stats` for the operator.
 */
@Injectable()
export class BroadcastStats implements OnApplicationBootstrap, OnModuleDestroy {
  private timer: NodeJS.Timeout | undefined;
  private isReading = false;

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    private readonly counters: RealtimeCounters,
    private readonly totals: RealtimeTotalsStore,
    private readonly bus: RealtimeBus,
    private readonly systemEvents: SystemEvents,
  ) {}

  onApplicationBootstrap(): void {
    const { statsIntervalMs } = this.config.realtime;
    if (statsIntervalMs === 0) return;
    this.timer = setInterval(() => void this.publish(statsIntervalMs), statsIntervalMs).unref();
  }

  onModuleDestroy(): void {
    clearInterval(this.timer);
  }

  private async publish(intervalMs: number): Promise<void> {
    const totals = await this.readTotals();
    const data = { node: this.bus.node, intervalMs, ...this.counters.read(), ...totals };
    this.systemEvents.emit({ type: 'broadcast-stats', ownerId: OPERATOR, data });
  }

  /** Undefined while the database does not respond; what it was asked before it has to answer first. */
  private async readTotals(): Promise<RealtimeTotals | undefined> {
    if (this.isReading) return undefined;
    this.isReading = true;
    const totals = await this.totals.ofAll().catch(() => undefined);
    this.isReading = false;
    return totals;
  }
}

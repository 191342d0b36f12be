import {
  Inject,
  Injectable,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
} from '@nestjs/common';
import { CONFIG } from '../../config/config.module.js';
import type { Config } from '../../config/env.js';
import { OPERATOR } from '../../system-events/system-event.js';
import { SystemEvents } from '../../system-events/system-events.service.js';
import { RealtimeBus } from '../../cluster/realtime-bus.client.js';
import { RealtimeCounters } from './realtime-counters.service.js';

/** Tells the operator from time to time how much goes on, with the event `broadcast-stats`. */
@Injectable()
export class BroadcastStats implements OnApplicationBootstrap, OnModuleDestroy {
  private timer: NodeJS.Timeout | undefined;

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    private readonly counters: RealtimeCounters,
    private readonly bus: RealtimeBus,
    private readonly systemEvents: SystemEvents,
  ) {}

  onApplicationBootstrap(): void {
    const { statsIntervalMs } = this.config.realtime;
    if (statsIntervalMs === 0) return;
    this.timer = setInterval(() => this.tell(statsIntervalMs), statsIntervalMs).unref();
  }

  onModuleDestroy(): void {
    clearInterval(this.timer);
  }

  private tell(intervalMs: number): void {
    const data = { node: this.bus.node, intervalMs, ...this.counters.read() };
    this.systemEvents.emit({ type: 'broadcast-stats', ownerId: OPERATOR, data });
  }
}

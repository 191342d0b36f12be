import { Injectable } from '@nestjs/common';
import { FanoutService } from './fanout/fanout.service.js';
import { RealtimeBus } from '../cluster/realtime-bus.client.js';
import type { RealtimeEvent } from '../shared/envelope.js';

export type { RealtimeEvent } from '../shared/envelope.js';

/** Publishes events to the live connections of all nodes. */
@Injectable()
export class RealtimePublisher {
  constructor(
    private readonly fanout: FanoutService,
    private readonly bus: RealtimeBus,
  ) {}

  /** Sends events to every connection that receives them. Never waits and never throws. */
  publish(events: readonly RealtimeEvent[]): void {
    if (events.length === 0) return;
    // The bus first: it takes longer, and works while the local connections are written to.
    this.bus.publish(events);
    this.fanout.deliver(events);
  }
}

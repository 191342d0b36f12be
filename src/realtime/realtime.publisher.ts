import { Injectable } from '@nestjs/common';
import { FanoutService } from './fanout/fanout.service.js';
import { RealtimeBus } from '../cluster/realtime-bus.client.js';
import type { RealtimeEvent } from '../shared/realtime-event.js';

export type { RealtimeEvent } from '../shared/realtime-event.js';

/** How the rest of the product speaks to sockets, in whichever process they are. */
@Injectable()
export class RealtimePublisher {
  constructor(
    private readonly fanout: FanoutService,
    private readonly bus: RealtimeBus,
  ) {}

  /** Hands committed events to every socket that hears them. Never waits and never throws. */
  publish(events: readonly RealtimeEvent[]): void {
    if (events.length === 0) return;
    // First the way that takes longer: it goes on by itself while the local sockets are written to.
    this.bus.send(events);
    this.fanout.deliver(events);
  }
}

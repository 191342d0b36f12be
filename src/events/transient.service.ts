import { type BeforeApplicationShutdown, Injectable } from '@nestjs/common';
import { EventTypeCache } from '../event-types/event-type-cache.service.js';
import { RealtimePublisher } from '../realtime/realtime.publisher.js';
import { LatestOnly } from './latest-only.js';
import type { PreparedEvent } from './prepare.js';

/** Most intervals that run at once, and most UTF-16 units of the events that wait. */
const LIMITS = { keys: 50_000, size: 32 * 1024 * 1024 };

/**
 * Sends events of types that are not durable straight to the live connections of this node and, over
 * the bus, of the others. They are not stored: a client that is not connected never receives them.
 */
@Injectable()
export class TransientEvents implements BeforeApplicationShutdown {
  private readonly coalescer = new LatestOnly<PreparedEvent>(LIMITS);
  private timer: NodeJS.Timeout | undefined;
  private timerEndsMs = Infinity;
  private isClosed = false;

  constructor(
    private readonly realtime: RealtimePublisher,
    types: EventTypeCache,
  ) {
    // What waits was accepted under the old settings; under the new ones, newer events could overtake it.
    types.on('changed', () => this.flush());
  }

  /** Never waits and never throws. */
  send(events: readonly PreparedEvent[]): void {
    if (events.length === 0) return;
    this.realtime.publish(this.isClosed ? events : events.filter((event) => this.isSentNow(event)));
    this.schedule();
  }

  /** Sends what waits; from then on every event is sent at once. */
  beforeApplicationShutdown(): void {
    this.isClosed = true;
    this.flush();
  }

  private isSentNow(event: PreparedEvent): boolean {
    const { type, ownerId, subject, body, coalesceMs } = event;
    if (coalesceMs === null) return true;
    // None of the three can contain a line break.
    const key = `${type}\n${ownerId ?? ''}\n${subject ?? ''}`;
    const offer = { key, value: event, size: body.length, intervalMs: coalesceMs };
    return this.coalescer.offer(offer, performance.now());
  }

  /** A shorter interval may have begun since the timer was set. */
  private schedule(): void {
    const { nextDueMs } = this.coalescer;
    if (nextDueMs === undefined || nextDueMs >= this.timerEndsMs) return;
    clearTimeout(this.timer);
    this.timerEndsMs = nextDueMs;
    this.timer = setTimeout(
      () => {
        this.timerEndsMs = Infinity;
        this.realtime.publish(this.coalescer.due(performance.now()));
        this.schedule();
      },
      Math.ceil(nextDueMs - performance.now()),
    ).unref();
  }

  private flush(): void {
    this.realtime.publish(this.coalescer.drain());
  }
}

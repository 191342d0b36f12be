import { type BeforeApplicationShutdown, Injectable } from '@nestjs/common';
import { EventTypeRegistry } from '../event-types/event-type-registry.service.js';
import { RealtimePublisher } from '../realtime/realtime.publisher.js';
import { LatestOnly } from './latest-only.js';
import type { PreparedEvent } from './prepare.js';

/** Subjects whose events are held together at once, and the UTF-16 units of what waits. */
const LIMITS = { keys: 50_000, size: 32 * 1024 * 1024 };

/**
 * Sends events of types that are not durable straight to the sockets, of this process and over the
 * bus of the others. PostgreSQL does not hear of them, and whoever is not connected never will.
 */
@Injectable()
export class TransientEvents implements BeforeApplicationShutdown {
  private readonly coalescer = new LatestOnly<PreparedEvent>(LIMITS);
  private timer: NodeJS.Timeout | undefined;
  private timerEndsMs = Infinity;
  private isClosed = false;

  constructor(
    private readonly realtime: RealtimePublisher,
    types: EventTypeRegistry,
  ) {
    // What waits was accepted under the old settings; under the new ones, newer events could pass it.
    types.onChange(() => this.flush());
  }

  /** Never waits and never throws. */
  send(events: readonly PreparedEvent[]): void {
    if (events.length === 0) return;
    this.realtime.publish(this.isClosed ? events : events.filter((event) => this.leavesNow(event)));
    this.schedule();
  }

  /** Sends what waits; from then on nothing does. */
  beforeApplicationShutdown(): void {
    this.isClosed = true;
    this.flush();
  }

  private leavesNow(event: PreparedEvent): boolean {
    const { type, ownerId, subject, body, coalesceMs } = event;
    if (coalesceMs === null) return true;
    // None of the three can hold a line break.
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

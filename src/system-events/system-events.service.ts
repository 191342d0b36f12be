import { Injectable, Logger } from '@nestjs/common';
import type { SystemEventType } from '../shared/event-pattern.js';

export interface SystemEvent {
  type: SystemEventType;
  /** The owner of what it is about, or `OPERATOR`; null: it is public. */
  ownerId: string | null;
  subject?: string;
  data: Record<string, unknown>;
}

/** Most events that are queued to be published; further ones are dropped, which is logged. */
const MAX_QUEUED = 10_000;

/** Events whose publication a caller waits for. */
export interface PublishRequest {
  events: readonly SystemEvent[];
  resolve: () => void;
  reject: (error: unknown) => void;
}

/**
 * The queue of system events: workers and live connections put them in, and the event log, which
 * depends on these parts and not the other way round, takes them out and publishes them like any
 * other event. At-most-once: what is queued is lost with the process.
 */
@Injectable()
export class SystemEvents {
  private readonly logger = new Logger(SystemEvents.name);
  private readonly emitted: SystemEvent[] = [];
  private readonly requests: PublishRequest[] = [];
  private dropped = 0;
  private isClosed = false;
  private wakeEmitted: () => void = () => undefined;
  private wakeRequests: () => void = () => undefined;

  /** Never waits and never throws: a connection or a delivery must not depend on it. */
  emit(event: SystemEvent): void {
    if (this.isClosed || this.emitted.length >= MAX_QUEUED) {
      this.dropped++;
      return;
    }
    this.emitted.push(event);
    this.wakeEmitted();
  }

  /**
   * Settles when the events are durable.
   * @throws whatever publishing throws; nothing was published then
   */
  publish(events: readonly SystemEvent[]): Promise<void> {
    if (events.length === 0) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.requests.push({ events, resolve, reject });
      this.wakeRequests();
    });
  }

  /** The oldest emitted events, at least one; waits for it. None: the queue is closed and empty. */
  async takeEmitted(limit: number): Promise<SystemEvent[]> {
    if (this.emitted.length === 0) this.logDropped();
    while (this.emitted.length === 0 && !this.isClosed) {
      await new Promise<void>((resolve) => (this.wakeEmitted = resolve));
    }
    // One turn of the event loop: what happens together is published together.
    await new Promise((resolve) => setImmediate(resolve));
    return this.emitted.splice(0, limit);
  }

  /** The oldest request of {@link publish}; waits for it. The caller settles it. */
  async takeRequest(): Promise<PublishRequest> {
    for (;;) {
      const request = this.requests.shift();
      if (request) return request;
      await new Promise<void>((resolve) => (this.wakeRequests = resolve));
    }
  }

  /** From now on nothing is emitted; {@link publish} goes on. */
  close(): void {
    this.isClosed = true;
    this.wakeEmitted();
  }

  private logDropped(): void {
    if (this.dropped > 0) this.logger.error(`${this.dropped} system events were dropped`);
    this.dropped = 0;
  }
}

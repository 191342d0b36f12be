import { Injectable, Logger } from '@nestjs/common';
import type { SystemEvent } from './system-event.js';

/** Most events that wait to be published; what comes on top is dropped, and said so. */
const MAX_WAITING = 10_000;
/** Events of one publication. */
const BATCH = 500;
const RETRY_MS = 1_000;

/** Publishes events of the system as one durable batch. */
export type SystemEventsPublisher = (events: readonly SystemEvent[]) => Promise<unknown>;

/**
 * What the engine and the sockets tell about themselves becomes ordinary events, which webhooks and
 * clients can hear. Whoever emits never waits: a connection or a delivery must not depend on it.
 *
 * The log itself sits above those who emit, so it connects itself here. At-most-once: what waits in
 * memory is gone with the process.
 */
@Injectable()
export class SystemEvents {
  private readonly logger = new Logger(SystemEvents.name);
  private waiting: SystemEvent[] = [];
  private dropped = 0;
  private publisher: SystemEventsPublisher | undefined;
  private sending: Promise<void> | undefined;
  private isClosed = false;

  /** Called once, by the log; what was emitted before is published then. */
  connect(publisher: SystemEventsPublisher): void {
    this.publisher = publisher;
    this.wake();
  }

  /** Never waits and never throws. */
  emit(event: SystemEvent): void {
    if (this.isClosed || this.waiting.length >= MAX_WAITING) {
      this.dropped++;
      return;
    }
    this.waiting.push(event);
    this.wake();
  }

  /**
   * For those who have to know: settles when the events are durable. Where there is no log there is
   * nobody to tell, and it settles at once.
   *
   * @throws whatever publishing throws; nothing was published then
   */
  async publish(events: readonly SystemEvent[]): Promise<void> {
    if (events.length > 0) await this.publisher?.(events);
  }

  /** Publishes what waits, once; for an orderly end. Nothing is emitted any more. */
  async close(): Promise<void> {
    this.isClosed = true;
    await this.sending;
  }

  private wake(): void {
    if (!this.publisher || this.sending || this.waiting.length === 0) return;
    this.sending = this.send(this.publisher).finally(() => {
      this.sending = undefined;
      this.wake();
    });
  }

  private async send(publish: SystemEventsPublisher): Promise<void> {
    while (this.waiting.length > 0) {
      // One turn of the event loop: what happens together is published together.
      await new Promise((resolve) => setImmediate(resolve));
      const batch = this.waiting.splice(0, BATCH);
      try {
        await publish(batch);
      } catch (error) {
        this.logger.warn(`${batch.length} system events wait: ${String(error)}`);
        if (this.isClosed) return;
        this.waiting.unshift(...batch);
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
    if (this.dropped > 0) this.logger.error(`${this.dropped} system events were dropped`);
    this.dropped = 0;
  }
}

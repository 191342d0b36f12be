/**
 * Events on their way to other processes: bounded, in order, several to a batch.
 *
 * A batch stays the next one until it is settled. One whose fate is unknown can therefore be sent
 * again as it was: its number tells the receivers, who have perhaps seen it.
 */
import type { RealtimeEvent } from './realtime-event.js';

export interface BatchLimits {
  /** Per batch. */
  events: number;
  /** Bytes of bodies per batch, roughly (UTF-16 units); one larger event makes a batch of its own. */
  bodyLength: number;
  /** The same, of everything that waits. */
  waitingEvents: number;
  waitingBodyLength: number;
}

export class OutgoingBatches {
  private waiting: RealtimeEvent[] = [];
  private bodyLength = 0;
  private count = 0;
  private unsettled: string | undefined;

  /** @param node names this process to the others; must be new for every process */
  constructor(
    private readonly node: string,
    private readonly limits: BatchLimits,
  ) {}

  /** @returns how many of them found no room and are lost to other processes */
  add(events: readonly RealtimeEvent[]): number {
    const { waitingEvents, waitingBodyLength } = this.limits;
    let dropped = 0;
    for (const event of events) {
      if (this.waiting.length >= waitingEvents || this.bodyLength >= waitingBodyLength) {
        dropped++;
        continue;
      }
      this.waiting.push(event);
      this.bodyLength += event.body.length;
    }
    return dropped;
  }

  /** The oldest batch, the same until it is settled; undefined if nothing waits. */
  next(): string | undefined {
    if (this.unsettled === undefined && this.waiting.length > 0) this.unsettled = this.take();
    return this.unsettled;
  }

  /** The batch has arrived, or cannot. */
  settle(): void {
    this.unsettled = undefined;
  }

  private take(): string {
    let size = 0;
    let length = 0;
    for (const { body } of this.waiting) {
      if (
        size === this.limits.events ||
        (size > 0 && length + body.length > this.limits.bodyLength)
      )
        break;
      size++;
      length += body.length;
    }
    this.bodyLength -= length;
    this.count++;
    return JSON.stringify({
      v: 1,
      node: this.node,
      seq: this.count,
      events: this.waiting.splice(0, size),
    });
  }
}

import type { ChunkConsumer } from './chunk-consumer.service.js';

/**
 * The way of event ids from the process that publishes to a worker.
 *
 * The queue makes delivery fast and guarantees nothing. What it loses, repeats or delays is found in
 * PostgreSQL: a worker claims the rows of an event before it makes an attempt.
 */
export abstract class DeliveryQueue {
  /** Hands over events whose outbox rows are committed. Never waits and never fails. */
  abstract enqueue(eventIds: readonly string[]): void;

  /** What it runs on, for health reports. */
  abstract readonly kind: 'redis' | 'in-process';

  /** Rejects, or never settles, if it does not work at present. */
  abstract ping(): Promise<void>;
}

/** To the worker of the same process. */
export class InProcessDeliveryQueue extends DeliveryQueue {
  readonly kind = 'in-process';

  /** @param consumer undefined: this process is no worker, and the sweepers of others claim the rows */
  constructor(private readonly consumer: ChunkConsumer | undefined) {
    super();
  }

  enqueue(eventIds: readonly string[]): void {
    void this.consumer?.consume(eventIds);
  }

  ping(): Promise<void> {
    return Promise.resolve();
  }
}

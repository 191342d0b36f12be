import { setTimeout as delay } from 'node:timers/promises';
import { Logger } from '@nestjs/common';
import type Bull from 'bull';
import type { ChunkConsumer } from './chunk-consumer.service.js';

/**
 * The way from a process that publishes to one that delivers: ids of events, in chunks.
 *
 * The queue is a hint that makes things fast. What it loses, repeats or delays is found in
 * PostgreSQL: a chunk names rows, and whoever takes it claims them there first.
 */
export abstract class DeliveryQueue {
  /** Hands over events whose outbox rows are committed. Never waits and never fails. */
  abstract enqueue(eventIds: readonly string[]): void;

  /** What it runs on, for health reports. */
  abstract readonly kind: 'redis' | 'in-process';

  /** Rejects, or never settles, if it does not work at present. */
  abstract ping(): Promise<void>;
}

/** Version of the job data; a worker ignores what it does not know. */
export interface DeliveryChunk {
  v: 1;
  eventIds: string[];
}

export const DELIVERY_QUEUE_NAME = 'tidings-deliveries';
export const DELIVERY_JOB = 'chunk';

/** Events per job: the cost per event is flat between 50 and 100. */
const CHUNK_SIZE = 100;
const CHUNKS_PER_ADD = 20;

/** Ids that wait for Redis; what comes on top is left to the sweepers at once. */
const MAX_WAITING = 20_000;
const BACKOFF_MS = 500;

/** How long a shutdown waits for Redis; one that hangs answers neither a hand-over nor a farewell. */
const FAREWELL_MS = 1_500;

/** Job data is as untrusted as any input: a job whose hash was evicted arrives with `{}`. */
export function isDeliveryChunk(data: unknown): data is DeliveryChunk {
  if (typeof data !== 'object' || data === null) return false;
  const { v, eventIds } = data as Partial<DeliveryChunk>;
  return v === 1 && Array.isArray(eventIds) && eventIds.every((id) => typeof id === 'string');
}

/** Over Redis, to any worker process. One supervised sender, not a promise per request. */
export class BullDeliveryQueue extends DeliveryQueue {
  readonly kind = 'redis';
  private readonly logger = new Logger(BullDeliveryQueue.name);
  private waiting: string[] = [];
  private sending: Promise<void> | undefined;
  private isClosed = false;

  /** @param queue for producing only: its commands time out, which a consumer's must not */
  constructor(private readonly queue: Bull.Queue<DeliveryChunk>) {
    super();
    queue.on('error', (error) => this.logger.warn(`the delivery queue reports: ${String(error)}`));
  }

  enqueue(eventIds: readonly string[]): void {
    if (this.isClosed || this.waiting.length >= MAX_WAITING) return;
    this.waiting.push(...eventIds);
    this.sending ??= this.send().finally(() => (this.sending = undefined));
  }

  async ping(): Promise<void> {
    await this.queue.client.ping();
  }

  /** Hands over what waits, if Redis answers, and disconnects. */
  async close(): Promise<void> {
    this.isClosed = true;
    await Promise.race([this.sending, delay(FAREWELL_MS)]);
    await closeQueue(this.queue);
  }

  private async send(): Promise<void> {
    while (this.waiting.length > 0) {
      // One turn of the event loop: requests that arrive together share a chunk.
      await new Promise((resolve) => setImmediate(resolve));
      const ids = this.waiting.splice(0, CHUNK_SIZE * CHUNKS_PER_ADD);
      try {
        await this.queue.addBulk(jobsOf(ids));
      } catch (error) {
        // Not again: the sweepers find these rows when their hand-over time has passed.
        this.logger.warn(`${ids.length} events go to the sweepers instead: ${String(error)}`);
        if (!this.isClosed) await new Promise((resolve) => setTimeout(resolve, BACKOFF_MS));
      }
    }
  }
}

/** Within one process: to the worker beside the publisher. */
export class InProcessDeliveryQueue extends DeliveryQueue {
  readonly kind = 'in-process';

  /** @param consumer of this process, if it is a worker; without one, other processes sweep the rows */
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

/**
 * Takes no more jobs and disconnects. It waits for none: a job that is not marked as done is run
 * again elsewhere, and finds its rows claimed. Bull would wait for as long as Redis hangs, and
 * connects anew meanwhile: so its connections are cut until it has ended.
 */
export async function closeQueue(queue: Bull.Queue): Promise<void> {
  const { clients } = queue as Bull.Queue & { clients: Bull.Queue['client'][] };
  const cut = () => clients.forEach((client) => client.disconnect());
  const impatience = setInterval(cut, FAREWELL_MS);
  await queue.close(true).catch(() => undefined);
  clearInterval(impatience);
  cut();
}

function jobsOf(ids: readonly string[]): { name: string; data: DeliveryChunk }[] {
  const jobs = [];
  for (let start = 0; start < ids.length; start += CHUNK_SIZE) {
    const eventIds = ids.slice(start, start + CHUNK_SIZE);
    jobs.push({ name: DELIVERY_JOB, data: { v: 1 as const, eventIds } });
  }
  return jobs;
}

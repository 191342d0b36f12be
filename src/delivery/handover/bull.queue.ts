import { setTimeout as delay } from 'node:timers/promises';
import { Logger } from '@nestjs/common';
import Bull from 'bull';
import { FailureLog } from '../../redis/failure.log.js';
import { BullConnections, type QueueTimings } from './bull.connections.js';
import { CHUNK_SIZE } from './chunk-consumer.service.js';
import { DeliveryQueue } from './delivery.queue.js';

export const DELIVERY_QUEUE_NAME = 'tidings-deliveries';
export const DELIVERY_JOB = 'chunk';

/** Data of a job. The version is for workers of another release: they drop what they do not know. */
export interface DeliveryChunk {
  v: 1;
  eventIds: string[];
}

/** Job data is untrusted input: a job whose hash was evicted arrives with `{}`. */
export function isDeliveryChunk(data: unknown): data is DeliveryChunk {
  if (typeof data !== 'object' || data === null) return false;
  const { v, eventIds } = data as Partial<DeliveryChunk>;
  return v === 1 && Array.isArray(eventIds) && eventIds.every((id) => typeof id === 'string');
}

const CHUNKS_PER_ADD = 20;
/** Ids that wait for Redis; the sweepers claim the events beyond. */
const MAX_WAITING = 20_000;
const BACKOFF_MS = 500;
/** How long a shutdown waits for what is being handed over. */
const LAST_CHUNKS_MS = 1_500;
/** The key of {@link BullDeliveryQueue.ping}, which Redis removes after that time. */
const PROBE_KEY = `tidings:${DELIVERY_QUEUE_NAME}:probe`;
const PROBE_MS = 1_000;

/** Over Redis, to any worker: one sender for all callers, instead of a promise per request. */
export class BullDeliveryQueue extends DeliveryQueue {
  readonly kind = 'redis';
  private readonly logger = new Logger(BullDeliveryQueue.name);
  private readonly failures = new FailureLog(this.logger, 'events are left to the sweepers');
  private readonly queue: Bull.Queue<DeliveryChunk>;
  private readonly connections: BullConnections;
  private waiting: string[] = [];
  private sending: Promise<void> | undefined;
  private isClosed = false;

  /** @param consumer the connections over which this process takes events, if it does */
  constructor(
    redisUrl: string,
    private readonly timings: QueueTimings,
    private readonly consumer?: BullConnections,
  ) {
    super();
    this.connections = new BullConnections(redisUrl, 'hand over events');
    this.queue = new Bull(DELIVERY_QUEUE_NAME, this.connections.options(timings));
  }

  enqueue(eventIds: readonly string[]): void {
    if (this.isClosed || this.waiting.length >= MAX_WAITING) return;
    this.waiting.push(...eventIds);
    this.sending ??= this.send().finally(() => (this.sending = undefined));
  }

  /** Writes, because a Redis that is full or a replica would still answer a PING. */
  async ping(): Promise<void> {
    if (this.consumer?.areReady === false) throw new Error('no events are taken');
    await this.queue.client.set(PROBE_KEY, '', 'PX', PROBE_MS);
  }

  /** Hands over what waits, if Redis answers in time, and disconnects. */
  async close(): Promise<void> {
    this.isClosed = true;
    await Promise.race([this.sending, delay(LAST_CHUNKS_MS)]);
    await this.connections.close(this.queue);
  }

  private async send(): Promise<void> {
    while (this.waiting.length > 0) {
      // One turn of the event loop: requests that arrive together share a chunk.
      await new Promise((resolve) => setImmediate(resolve));
      const ids = this.waiting.splice(0, CHUNK_SIZE * CHUNKS_PER_ADD);
      try {
        await this.add(ids);
        this.failures.worked();
      } catch (error) {
        // Not repeated: the sweepers claim these events when their hand-over time has passed.
        this.failures.failed(error, { events: ids.length });
        if (!this.isClosed) await delay(BACKOFF_MS);
      }
    }
  }

  /** Bounded by itself, whatever the library does: a promise that never settles would end all hand-over. */
  private async add(ids: readonly string[]): Promise<void> {
    const timer = new AbortController();
    const tooLate = delay(2 * this.timings.redisTimeoutMs, undefined, { signal: timer.signal });
    try {
      const added = await Promise.race([this.queue.addBulk(jobsOf(ids)), tooLate]);
      if (!added) throw new Error('Redis has not answered in time');
      // Bull drops the error of a job that Redis has refused within the transaction.
      if (added.some(({ id }) => !id)) throw new Error('Redis has refused jobs');
    } finally {
      timer.abort();
      tooLate.catch(() => undefined);
    }
  }
}

function jobsOf(ids: readonly string[]): { name: string; data: DeliveryChunk }[] {
  const jobs = [];
  for (let start = 0; start < ids.length; start += CHUNK_SIZE) {
    const eventIds = ids.slice(start, start + CHUNK_SIZE);
    jobs.push({ name: DELIVERY_JOB, data: { v: 1 as const, eventIds } });
  }
  return jobs;
}

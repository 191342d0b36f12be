import { setTimeout as delay } from 'node:timers/promises';
import { Logger } from '@nestjs/common';
import type Bull from 'bull';
import type { Timings } from '../../config/timings.js';
import { logFailure } from '../../shared/log-failure.js';
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
/** How long a shutdown waits for Redis. One that hangs answers no command, not even QUIT. */
const CLOSE_TIMEOUT_MS = 1_500;

/** Over Redis, to any worker: one sender for all callers, instead of a promise per request. */
export class BullDeliveryQueue extends DeliveryQueue {
  readonly kind = 'redis';
  private readonly logger = new Logger(BullDeliveryQueue.name);
  private waiting: string[] = [];
  private sending: Promise<void> | undefined;
  private isClosed = false;

  /** @param queue made with {@link producerOptions} */
  constructor(private readonly queue: Bull.Queue<DeliveryChunk>) {
    super();
    queue.on('error', (error) => logQueueError(this.logger, error));
  }

  enqueue(eventIds: readonly string[]): void {
    if (this.isClosed || this.waiting.length >= MAX_WAITING) return;
    this.waiting.push(...eventIds);
    this.sending ??= this.send().finally(() => (this.sending = undefined));
  }

  async ping(): Promise<void> {
    await this.queue.client.ping();
  }

  /** Hands over what waits, if Redis answers in time, and disconnects. */
  async close(): Promise<void> {
    this.isClosed = true;
    await Promise.race([this.sending, delay(CLOSE_TIMEOUT_MS)]);
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
        // Not repeated: the sweepers claim these events when their hand-over time has passed.
        const fields = { events: ids.length };
        logFailure(this.logger, 'warn', 'events are left to the sweepers', error, fields);
        if (!this.isClosed) await delay(BACKOFF_MS);
      }
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

export const logQueueError = (logger: Logger, error: Error): void =>
  logFailure(logger, 'warn', 'the delivery queue has an error', error);

/**
 * Takes no more jobs and disconnects. It waits for no job: one that is not marked as done runs again
 * on another node and finds its rows claimed. Bull itself would wait for as long as Redis hangs, and
 * reconnect meanwhile, so its connections are cut until it has ended.
 */
export async function closeQueue(queue: Bull.Queue): Promise<void> {
  const { clients } = queue as Bull.Queue & { clients: Bull.Queue['client'][] };
  const disconnect = () => clients.forEach((client) => client.disconnect());
  const killTimer = setInterval(disconnect, CLOSE_TIMEOUT_MS);
  await queue.close(true).catch(() => undefined);
  clearInterval(killTimer);
  disconnect();
}

const RECONNECT_MAX_MS = 2_000;
/** For Redis to close its side as well; one that hangs does not. */
const DISCONNECT_TIMEOUT_MS = 500;
const COMMAND_TIMEOUT_MS = 1_000;

export type QueueTimings = Pick<Timings, 'queueLockMs' | 'queueStalledCheckMs'>;

/**
 * The two kinds of connection differ on purpose. Commands of a producer time out, because with Redis
 * away they would never settle. Those of a consumer must not: that would cut Bull's blocking pop and
 * leave jobs in `active`. `enableOfflineQueue: false` breaks both.
 */
export const producerOptions = (redisUrl: string, timings: QueueTimings): Bull.QueueOptions => {
  const options = consumerOptions(redisUrl, timings);
  return { ...options, redis: { ...connection(redisUrl), commandTimeout: COMMAND_TIMEOUT_MS } };
};

export const consumerOptions = (redisUrl: string, timings: QueueTimings): Bull.QueueOptions => ({
  prefix: 'tidings',
  redis: connection(redisUrl),
  // A job is a hint, made once: the rows decide, and nothing is kept of it.
  defaultJobOptions: { attempts: 1, removeOnComplete: true, removeOnFail: true },
  settings: {
    lockDuration: timings.queueLockMs,
    stalledInterval: timings.queueStalledCheckMs,
    maxStalledCount: 3,
  },
});

function connection(redisUrl: string) {
  const url = new URL(redisUrl);
  return {
    maxRetriesPerRequest: 1,
    retryStrategy: (times: number) => Math.min(times * 200, RECONNECT_MAX_MS),
    disconnectTimeout: DISCONNECT_TIMEOUT_MS,
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: Number(url.port || 6379),
    ...(url.username === '' ? {} : { username: decodeURIComponent(url.username) }),
    ...(url.password === '' ? {} : { password: decodeURIComponent(url.password) }),
    ...(url.pathname.length > 1 ? { db: Number(url.pathname.slice(1)) } : {}),
    ...(url.protocol === 'rediss:' ? { tls: {} } : {}),
  };
}

import { EventEmitter } from 'node:events';
import type Bull from 'bull';
import type { Timings } from '../../config/timings.js';
import { RedisClient, type RedisTimings } from '../../redis/redis.client.js';

/** How long Bull's blocking pop waits in Redis for a job, in seconds: a silent connection is noticed after it. */
const POP_WAIT_S = 1;
/** After an error of Redis: with Bull's own five seconds, jobs would wait for so long when Redis is back. */
const RETRY_MS = 500;
/** How long a shutdown waits for Bull, which waits for Redis. */
const CLOSE_TIMEOUT_MS = 1_500;

export type QueueTimings = RedisTimings & Pick<Timings, 'queueLockMs' | 'queueStalledCheckMs'>;

/** The connections of one Bull queue: Bull's own would have no bounds, and would not end while Redis hangs. */
export class BullConnections {
  private readonly clients: RedisClient[] = [];

  /** @param purpose what the queue is used for, in log lines: "no Redis to …" */
  constructor(
    private readonly redisUrl: string,
    private readonly purpose: string,
  ) {}

  get areReady(): boolean {
    return this.clients.every(({ status }) => status === 'ready');
  }

  /** Of the queue that is to have these connections. */
  options(timings: QueueTimings): Bull.QueueOptions & { skipVersionCheck: boolean } {
    return {
      skipVersionCheck: true,
      prefix: 'tidings',
      createClient: (type) => this.create(type, timings),
      // A job is a hint, made once: the rows decide, and nothing is kept of it.
      defaultJobOptions: { attempts: 1, removeOnComplete: true, removeOnFail: true },
      settings: {
        lockDuration: timings.queueLockMs,
        stalledInterval: timings.queueStalledCheckMs,
        maxStalledCount: 3,
        drainDelay: POP_WAIT_S,
        retryProcessDelay: RETRY_MS,
      },
    };
  }

  /**
   * Takes no more jobs and disconnects. It waits for no job: one that is not marked as done runs again
   * on another node and finds its rows claimed.
   */
  async close(queue: Bull.Queue): Promise<void> {
    const closed = queue.close(true).catch(() => undefined);
    for (const client of this.clients) client.close();
    let timer: NodeJS.Timeout | undefined;
    const tooLate = new Promise((resolve) => (timer = setTimeout(resolve, CLOSE_TIMEOUT_MS)));
    await Promise.race([closed, tooLate]);
    clearTimeout(timer);
  }

  private create(
    type: 'client' | 'subscriber' | 'bclient',
    timings: QueueTimings,
  ): Bull.Queue['client'] {
    if (type === 'subscriber') return noEvents();
    const client = new RedisClient({
      url: this.redisUrl,
      purpose: this.purpose,
      timings,
      ...(type === 'bclient' && { blocksForMs: POP_WAIT_S * 1_000 }),
    });
    this.clients.push(client);
    return client;
  }
}

/**
 * In place of the connection on which Bull receives that a job was delayed, which none of ours is. It
 * would not consume at all if Redis refused the subscription once.
 */
function noEvents(): Bull.Queue['client'] {
  const client = Object.assign(new EventEmitter(), {
    status: 'ready',
    options: {},
    subscribe: () => Promise.resolve(0),
    psubscribe: () => Promise.resolve(0),
  });
  return client as unknown as Bull.Queue['client'];
}

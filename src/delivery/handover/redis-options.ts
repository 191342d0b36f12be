import type { QueueOptions } from 'bull';

/**
 * Bull's two kinds of connection differ on purpose. A producer's commands time out, because with
 * Redis away they would otherwise never settle. A consumer must not have that: it would cut Bull's
 * blocking pop and strand jobs in `active`. `enableOfflineQueue: false` breaks both.
 */
const RECONNECT_MAX_MS = 2_000;
/** For the other side to close as well; a Redis that hangs never does. */
const DISCONNECT_TIMEOUT_MS = 500;
const COMMAND_TIMEOUT_MS = 1_000;

/** A lock lasts longer than a job ever needs, and a crashed worker's jobs are seen within seconds. */
const LOCK_MS = 15_000;
const STALLED_CHECK_MS = 5_000;

const reconnect = (times: number): number => Math.min(times * 200, RECONNECT_MAX_MS);

export const producerOptions = (redisUrl: string): QueueOptions => ({
  ...consumerOptions(redisUrl),
  redis: {
    ...connection(redisUrl),
    maxRetriesPerRequest: 1,
    commandTimeout: COMMAND_TIMEOUT_MS,
    retryStrategy: reconnect,
  },
});

export const consumerOptions = (redisUrl: string): QueueOptions => ({
  prefix: 'tidings',
  redis: { ...connection(redisUrl), maxRetriesPerRequest: 1, retryStrategy: reconnect },
  // The rows are the truth: a job is a hint, made once, and leaves nothing behind.
  defaultJobOptions: { attempts: 1, removeOnComplete: true, removeOnFail: true },
  settings: { lockDuration: LOCK_MS, stalledInterval: STALLED_CHECK_MS, maxStalledCount: 3 },
});

function connection(redisUrl: string) {
  const url = new URL(redisUrl);
  return {
    disconnectTimeout: DISCONNECT_TIMEOUT_MS,
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: Number(url.port || 6379),
    ...(url.username === '' ? {} : { username: decodeURIComponent(url.username) }),
    ...(url.password === '' ? {} : { password: decodeURIComponent(url.password) }),
    ...(url.pathname.length > 1 ? { db: Number(url.pathname.slice(1)) } : {}),
    ...(url.protocol === 'rediss:' ? { tls: {} } : {}),
  };
}

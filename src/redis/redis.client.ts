import { isIP } from 'node:net';
import { performance } from 'node:perf_hooks';
import { Logger } from '@nestjs/common';
import { Redis, type RedisOptions, ReplyError } from 'ioredis';
import { redisAddressOf } from '../config/redis-url.js';
import type { Timings } from '../config/timings.js';
import { FailureLog } from './failure.log.js';

export type RedisTimings = Pick<Timings, 'redisTimeoutMs' | 'redisReconnectMaxMs'>;

export interface RedisClientOptions {
  /** `redis://…` as in the configuration. */
  url: string;
  /** What the connection is for, in log lines: "no Redis to …". */
  purpose: string;
  timings: RedisTimings;
  /** For a connection whose commands wait in Redis: how long each waits at most. */
  blocksForMs?: number;
  /** How long an idle connection may stay without an answer; default: `redisTimeoutMs`. */
  silentForMs?: number;
  /** Commands fail at once while there is no connection; otherwise they wait for one, within their timeout. */
  failsFast?: boolean;
}

const RECONNECT_STEP_MS = 100;
/** A connection that lasted for so long was none of those that end right after their start. */
const LASTING_MS = 2_000;

/**
 * A connection to Redis that never needs a restart of the process. All connections of the product are
 * of this class, because each of these rules was broken once:
 *
 * - Every wait has a bound: for the connection, its handshake, each answer, and, by a `PING`, for a
 *   sign of life of an idle connection, since a peer that is gone says nothing.
 * - Every event has a listener, and no promise of the library is left without one.
 * - A connection that is cut at any byte, answers nonsense, or refuses the password is replaced, with
 *   pauses that grow up to `redisReconnectMaxMs`.
 * - What is logged has no command, and so no password.
 */
export class RedisClient extends Redis {
  private isClosed = false;
  private readyAtMs: number | undefined;
  private attempts = 0;
  private handshakeTimer: NodeJS.Timeout | undefined;
  private aliveTimer: NodeJS.Timeout | undefined;
  private readonly timings: RedisTimings;
  private readonly failures: FailureLog;
  private readonly isBlocking: boolean;
  private readonly silentForMs: number;
  /** The last sign of life of the present connection. */
  private answeredAtMs = 0;
  /** What a blocking connection had received then. */
  private answeredBytes = 0;

  constructor(options: RedisClientOptions) {
    super(optionsOf(options));
    const { purpose, timings, blocksForMs, silentForMs = timings.redisTimeoutMs } = options;
    this.timings = timings;
    this.isBlocking = blocksForMs !== undefined;
    this.silentForMs = silentForMs + (blocksForMs ?? 0);
    this.failures = new FailureLog(
      new Logger('Redis'),
      `no Redis to ${purpose}`,
      `Redis is back to ${purpose}`,
    );
    this.options.retryStrategy = () => this.nextPauseMs();
    this.on('error', (error: Error) => this.failed(error));
    this.on('connecting', () => this.expectReady());
    this.on('ready', () => this.isReady());
    this.on('close', () => this.stopTimers());
    this.on('end', () => this.ended());
    void this.connect().catch(() => undefined);
  }

  /** After {@link close} there is no connection any more, whatever a library asks for. */
  override connect(): Promise<void> {
    if (this.isClosed) return Promise.reject(new Error('Connection is closed.'));
    return super.connect();
  }

  /** Cuts the connection; another one is made. */
  replace(reason: string): void {
    this.stream?.destroy(new Error(reason));
  }

  /** Ends it for good, without waiting for Redis. Commands that wait fail. */
  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.stopTimers();
    this.disconnect();
    this.stream?.destroy();
  }

  /** From TCP to the answer that Redis is ready. While it loads its data the next connection waits on. */
  private expectReady(): void {
    const { redisTimeoutMs } = this.timings;
    clearTimeout(this.handshakeTimer);
    this.handshakeTimer = setTimeout(
      () => this.replace(`Redis was not ready within ${redisTimeoutMs} ms`),
      redisTimeoutMs,
    ).unref();
  }

  private isReady(): void {
    clearTimeout(this.handshakeTimer);
    clearInterval(this.aliveTimer);
    if (this.isClosed) return;
    this.readyAtMs = performance.now();
    this.answeredAtMs = this.readyAtMs;
    this.answeredBytes = 0;
    // A blocking connection counts as ready before Redis has answered.
    if (!this.isBlocking) this.failures.worked();
    const check = () => (this.isBlocking ? this.watchAnswers() : void this.ask());
    this.aliveTimer = setInterval(check, this.timings.redisTimeoutMs / 2).unref();
  }

  /** A peer that is gone says nothing, and an idle connection would not notice. */
  private async ask(): Promise<void> {
    if (this.status !== 'ready') return;
    const { stream } = this;
    const isAnswered = await this.ping().then(() => true, isRefusal);
    if (stream !== this.stream) return;
    const nowMs = performance.now();
    if (isAnswered) this.answeredAtMs = nowMs;
    else if (nowMs - this.answeredAtMs >= this.silentForMs) this.replace('Redis does not answer');
  }

  /** A PING would wait behind the blocking command; but that is answered after its time. */
  private watchAnswers(): void {
    const nowMs = performance.now();
    const { bytesRead } = this.stream;
    if (bytesRead !== this.answeredBytes || this.commandQueue.length === 0) {
      this.answeredBytes = bytesRead;
      this.answeredAtMs = nowMs;
    } else if (nowMs - this.answeredAtMs > this.silentForMs) {
      this.replace('Redis does not answer');
    }
  }

  private stopTimers(): void {
    clearTimeout(this.handshakeTimer);
    clearInterval(this.aliveTimer);
  }

  private nextPauseMs(): number {
    const lastedMs = this.readyAtMs === undefined ? 0 : performance.now() - this.readyAtMs;
    this.readyAtMs = undefined;
    this.attempts = lastedMs >= LASTING_MS ? 1 : this.attempts + 1;
    return Math.min(this.attempts * RECONNECT_STEP_MS, this.timings.redisReconnectMaxMs);
  }

  private failed(error: Error): void {
    if (this.isClosed) return;
    // The message has the reply in it, and every later one would answer the wrong command.
    const isOutOfStep = error.message.startsWith('Command queue state error');
    if (isOutOfStep) this.replace('Redis sent a reply without a request');
    else this.failures.failed(error);
  }

  /** The library gives up in some states of its handshake. */
  private ended(): void {
    this.stopTimers();
    if (this.isClosed) return;
    const again = () => void this.connect().catch(() => undefined);
    setTimeout(again, this.timings.redisReconnectMaxMs).unref();
  }
}

/** Redis has answered, with an error: NOPERM, OOM, READONLY, LOADING and others. */
export const isRefusal = (error: unknown): boolean => error instanceof ReplyError;

function optionsOf({ url, timings, blocksForMs, failsFast }: RedisClientOptions): RedisOptions {
  const address = redisAddressOf(url);
  if (!address) throw new Error('REDIS_URL names no Redis');
  const { tls, ...target } = address;
  const { redisTimeoutMs } = timings;
  return {
    ...target,
    // Node sends no server name without it, and hosted Redis may need it.
    ...(tls && { tls: isIP(target.host) ? {} : { servername: target.host } }),
    lazyConnect: true,
    // Ours covers the handshake of TLS and Redis as well, and bytes that drip.
    connectTimeout: 0,
    disconnectTimeout: redisTimeoutMs / 4,
    keepAlive: 10_000,
    // Its two commands come late; with the connection closed by then, it is ready for ever without one.
    disableClientInfo: true,
    // Rejections of these subscriptions have no listener; each user subscribes again when it is ready.
    autoResubscribe: false,
    maxLoadingRetryTime: redisTimeoutMs / 4,
    ...(blocksForMs === undefined
      ? {
          maxRetriesPerRequest: failsFast ? 0 : 1,
          enableOfflineQueue: !failsFast,
          commandTimeout: redisTimeoutMs,
        }
      : {
          // Bull's conditions for a connection that waits in Redis.
          maxRetriesPerRequest: null,
          enableReadyCheck: false,
        }),
  };
}

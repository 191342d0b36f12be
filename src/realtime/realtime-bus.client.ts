import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { Logger, type OnApplicationShutdown } from '@nestjs/common';
import { Redis, type RedisOptions, ReplyError } from 'ioredis';
import { IncomingBatches } from './incoming-batches.js';
import { OutgoingBatches } from './outgoing-batches.js';
import type { RealtimeEvent } from './realtime-event.js';

/**
 * The way from a process that publishes to the others that have sockets.
 *
 * It is as reliable as Redis Pub/Sub, that is, not: a process that is cut off has a gap. What it
 * loses is in the event log.
 */
export abstract class RealtimeBus {
  /** Tells every other process. Never waits and never throws. */
  abstract send(events: readonly RealtimeEvent[]): void;

  /**
   * Calls the handler with what other processes send, from now until shutdown. Called once.
   * Settles when the subscription stands, or after a moment without one: it then comes later.
   */
  abstract listen(handler: (events: RealtimeEvent[]) => void): Promise<void>;
}

/** There is no other process. */
export class NoRealtimeBus extends RealtimeBus {
  override send(): void {}

  override listen(): Promise<void> {
    return Promise.resolve();
  }
}

const BATCH_LIMITS = {
  events: 256,
  bodyLength: 512 * 1024,
  // Some seconds of a busy publisher, and no more memory than that.
  waitingEvents: 20_000,
  waitingBodyLength: 32 * 1024 * 1024,
};

/** A Redis that has not answered by then is hung; its connection is given up. */
const COMMAND_TIMEOUT_MS = 2_000;
const MAX_RECONNECT_MS = 2_000;
/** For the subscription at the start and for the last batches at the end. */
const PATIENCE_MS = 1_000;

/** Over Redis Pub/Sub: one connection that publishes and, where there are sockets, one that listens. */
export class RedisRealtimeBus extends RealtimeBus implements OnApplicationShutdown {
  private readonly logger = new Logger(RealtimeBus.name);
  private readonly node = randomUUID();
  private readonly outgoing = new OutgoingBatches(this.node, BATCH_LIMITS);
  private readonly incoming = new IncomingBatches(this.node);
  private readonly publisher: Redis;
  private readonly channel: string;
  private subscriber: Redis | undefined;
  private sending: Promise<void> | undefined;
  private isClosed = false;
  private dropped = 0;

  constructor(private readonly redisUrl: string) {
    super();
    this.publisher = this.connect('publish', {
      // A batch that fails stays the next one here, where its number is known.
      maxRetriesPerRequest: 0,
      enableOfflineQueue: false,
      commandTimeout: COMMAND_TIMEOUT_MS,
    });
    this.publisher.on('ready', () => this.startSending());
    // Channels are shared by the databases of a server; installations in two of them are not one.
    this.channel = `tidings:${this.publisher.options.db ?? 0}:realtime:events`;
  }

  override send(events: readonly RealtimeEvent[]): void {
    if (this.isClosed) return;
    const dropped = this.outgoing.add(events);
    if (dropped > 0 && this.dropped === 0) {
      this.logger.error('Redis does not keep up: sockets of other processes miss events');
    }
    this.dropped += dropped;
    this.startSending();
  }

  override async listen(handler: (events: RealtimeEvent[]) => void): Promise<void> {
    const subscriber = this.connect('listen', {
      maxRetriesPerRequest: null,
      autoResubscribe: false,
      keepAlive: 10_000,
    });
    this.subscriber = subscriber;
    subscriber.on('message', (_channel: string, message: string) => {
      const events = this.incoming.accept(message);
      if (events) handler(events);
      else this.logger.debug(`not a batch of events on ${this.channel}`);
    });
    const first = new Promise<void>((resolve) => {
      subscriber.on('ready', () => void this.subscribe(subscriber).then(resolve));
    });
    await Promise.race([first, delay(PATIENCE_MS, undefined, { ref: false })]);
  }

  /** Publishes what waits, if Redis answers, and disconnects. */
  async onApplicationShutdown(): Promise<void> {
    this.isClosed = true;
    await Promise.race([this.sendLast(), delay(PATIENCE_MS, undefined, { ref: false })]);
    this.publisher.disconnect();
    this.subscriber?.disconnect();
  }

  /** After every connection: whatever was published in between was not heard here. */
  private async subscribe(subscriber: Redis): Promise<void> {
    try {
      await subscriber.subscribe(this.channel);
    } catch (error) {
      this.logger.warn(`cannot subscribe to ${this.channel}: ${String(error)}`);
      subscriber.disconnect(true);
    }
  }

  private async sendLast(): Promise<void> {
    if (this.outgoing.next() === undefined) return;
    if (this.publisher.status !== 'ready') {
      await new Promise<void>((resolve) => void this.publisher.once('ready', resolve));
    }
    this.startSending();
    await this.sending;
  }

  private startSending(): void {
    if (this.publisher.status !== 'ready') return;
    this.sending ??= this.sendWaiting().finally(() => (this.sending = undefined));
  }

  /** One batch at a time: what arrives meanwhile shares the next one. */
  private async sendWaiting(): Promise<void> {
    for (let batch = this.outgoing.next(); batch !== undefined; batch = this.outgoing.next()) {
      try {
        await this.publisher.publish(this.channel, batch);
      } catch (error) {
        // Redis refused this batch and will again; otherwise its fate is unknown and it is sent again.
        if (!(error instanceof ReplyError)) return this.reconnect();
        this.logger.error(`Redis refused a batch of realtime events: ${String(error)}`);
      }
      this.outgoing.settle();
    }
    this.reportDropped();
  }

  private reconnect(): void {
    if (this.publisher.status === 'ready' && !this.isClosed) this.publisher.disconnect(true);
  }

  private reportDropped(): void {
    if (this.dropped > 0)
      this.logger.error(`sockets of other processes have missed ${this.dropped} events`);
    this.dropped = 0;
  }

  private connect(purpose: string, options: RedisOptions): Redis {
    const redis = new Redis(this.redisUrl, {
      ...options,
      connectTimeout: COMMAND_TIMEOUT_MS,
      retryStrategy: (times) => Math.min(times * 100, MAX_RECONNECT_MS),
    });
    let isAway = false;
    redis.on('error', (error) => {
      if (!isAway) this.logger.warn(`no Redis to ${purpose} realtime events: ${String(error)}`);
      isAway = true;
    });
    redis.on('ready', () => {
      if (isAway) this.logger.log(`Redis is back to ${purpose} realtime events`);
      isAway = false;
    });
    return redis;
  }
}

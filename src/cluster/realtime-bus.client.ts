import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { Logger, type OnApplicationShutdown } from '@nestjs/common';
import { Redis, type RedisOptions, ReplyError } from 'ioredis';
import type { Timings } from '../config/timings.js';
import { logFailure } from '../shared/log-failure.js';
import type { RealtimeEvent } from '../shared/envelope.js';
import { type BusChannel, type BusMessage, eventChannel, messageChannel } from './bus-channel.js';

type EventsListener = (events: RealtimeEvent[]) => void;
type MessageListener = (payload: unknown, node: string) => void;

/**
 * The way from a node to the others: events for their connections, and messages between the nodes.
 *
 * It is as reliable as Redis Pub/Sub: a node that is cut off has a gap. Lost events are in the event
 * log; senders of messages have to cope with the loss of some.
 */
export abstract class RealtimeBus {
  /** The name of this node; new for every process. */
  readonly node = randomUUID();

  /** There can be no other node. */
  abstract readonly isAlone: boolean;

  /** Whether this node can send and receive at the moment. */
  abstract readonly isConnected: boolean;

  protected readonly logger = new Logger(RealtimeBus.name);
  private readonly listeners = new Map<string, MessageListener>();

  /**
   * Calls the listener with messages of this kind. The payload is not validated; what the listener
   * throws is logged.
   */
  on(kind: string, listener: MessageListener): void {
    this.listeners.set(kind, listener);
  }

  /** Sends to one node, or to all others. Never waits and never throws; a message may get lost. */
  send(message: BusMessage): void {
    if (message.to === this.node) this.dispatch(message, this.node);
    else this.transmit(message);
  }

  /** Publishes events to all other nodes. Never waits and never throws. */
  abstract publish(events: readonly RealtimeEvent[]): void;

  /**
   * Calls the listener with events of other nodes, from now until shutdown. Called once.
   * Settles when the subscription is there, or after a second without one: it is then made later.
   */
  abstract receiveEvents(listener: EventsListener): Promise<void>;

  /** The same for messages, which go to the listeners of {@link on}. */
  abstract receiveMessages(): Promise<void>;

  protected abstract transmit(message: BusMessage): void;

  protected dispatch({ kind, payload, to }: BusMessage, node: string): void {
    if (to !== undefined && to !== this.node) return;
    try {
      this.listeners.get(kind)?.(payload, node);
    } catch (error) {
      logFailure(this.logger, 'warn', 'a message of another node failed', error, { kind, node });
    }
  }
}

/** There is one node. */
export class NoRealtimeBus extends RealtimeBus {
  override readonly isAlone = true;
  override readonly isConnected = true;

  override publish(): void {}

  override receiveEvents(): Promise<void> {
    return Promise.resolve();
  }

  override receiveMessages(): Promise<void> {
    return Promise.resolve();
  }

  protected override transmit(): void {}
}

/** A channel, whatever its items are. */
type AnyChannel = Pick<
  BusChannel<BusMessage>,
  'name' | 'label' | 'dropped' | 'next' | 'settle' | 'receive'
>;

/** For the subscription at the start and for the last batches at the end. */
const WAIT_MS = 1_000;

/** Over Redis Pub/Sub: one connection that publishes and, where a node receives, one for that. */
export class RedisRealtimeBus extends RealtimeBus implements OnApplicationShutdown {
  override readonly isAlone = false;
  private readonly events: BusChannel<RealtimeEvent>;
  private readonly messages: BusChannel<BusMessage>;
  private readonly publisher: Redis;
  private subscriber: Redis | undefined;
  private onEvents: EventsListener | undefined;
  private sending: Promise<void> | undefined;
  private isClosed = false;
  private isReconnecting = false;

  constructor(
    private readonly redisUrl: string,
    private readonly timings: Pick<Timings, 'busCommandTimeoutMs' | 'busReconnectMaxMs'>,
  ) {
    super();
    this.publisher = this.connect('publish', {
      // A batch that fails stays the next one here, where its number is known.
      maxRetriesPerRequest: 0,
      enableOfflineQueue: false,
      commandTimeout: timings.busCommandTimeoutMs,
    });
    this.publisher.on('ready', () => {
      this.isReconnecting = false;
      this.startSending();
    });
    // The databases of a Redis share its channels; installations in two of them are separate.
    const prefix = `tidings:${this.publisher.options.db ?? 0}:realtime`;
    this.events = eventChannel({
      name: `${prefix}:events`,
      node: this.node,
      onItems: (events) => this.onEvents?.(events),
    });
    this.messages = messageChannel({
      name: `${prefix}:messages`,
      node: this.node,
      onItems: (messages, node) => {
        for (const message of messages) this.dispatch(message, node);
      },
    });
  }

  override get isConnected(): boolean {
    const canPublish = this.publisher.status === 'ready';
    return canPublish && (this.subscriber === undefined || this.subscriber.status === 'ready');
  }

  override publish(events: readonly RealtimeEvent[]): void {
    this.put(this.events, events);
  }

  override receiveEvents(listener: EventsListener): Promise<void> {
    this.onEvents = listener;
    return this.subscribed(this.events);
  }

  override receiveMessages(): Promise<void> {
    return this.subscribed(this.messages);
  }

  protected override transmit(message: BusMessage): void {
    this.put(this.messages, [message]);
  }

  /** Publishes what waits, if Redis answers, and disconnects. */
  async onApplicationShutdown(): Promise<void> {
    this.isClosed = true;
    await Promise.race([this.sendLast(), delay(WAIT_MS, undefined, { ref: false })]);
    this.publisher.disconnect();
    this.subscriber?.disconnect();
  }

  private get channels(): AnyChannel[] {
    return [this.events, this.messages];
  }

  private put<Item>(channel: BusChannel<Item>, items: readonly Item[]): void {
    if (this.isClosed) return;
    const isFirstLoss = channel.dropped === 0;
    if (!channel.add(items) && isFirstLoss) {
      this.logger.error(`Redis does not keep up: other nodes miss ${channel.label}`);
    }
    this.startSending();
  }

  private async subscribed({ name }: AnyChannel): Promise<void> {
    const subscriber = (this.subscriber ??= this.startReceiving());
    const first = new Promise<void>((resolve) => {
      if (subscriber.status === 'ready') void this.subscribe(subscriber, name).then(resolve);
      subscriber.on('ready', () => void this.subscribe(subscriber, name).then(resolve));
    });
    await Promise.race([first, delay(WAIT_MS, undefined, { ref: false })]);
  }

  private startReceiving(): Redis {
    const subscriber = this.connect('receive', {
      maxRetriesPerRequest: null,
      autoResubscribe: false,
      keepAlive: 10_000,
    });
    subscriber.on('messageBuffer', (name: Buffer, message: Buffer) => {
      const channel = this.channels.find((each) => each.name === name.toString());
      if (!channel?.receive(message)) this.logger.debug(`no batch on ${name.toString()}`);
    });
    return subscriber;
  }

  /** After every connection; what was published in between did not arrive here. */
  private async subscribe(subscriber: Redis, name: string): Promise<void> {
    try {
      await subscriber.subscribe(name);
    } catch (error) {
      logFailure(this.logger, 'warn', 'cannot subscribe in Redis', error, { channel: name });
      subscriber.disconnect(true);
    }
  }

  private async sendLast(): Promise<void> {
    if (this.channels.every((channel) => channel.next() === undefined)) return;
    if (!this.canSend) {
      await new Promise<void>((resolve) => void this.publisher.once('ready', resolve));
    }
    this.startSending();
    await this.sending;
  }

  private startSending(): void {
    if (!this.canSend) return;
    this.sending ??= this.sendWaiting().finally(() => (this.sending = undefined));
  }

  /** The channels take turns, so that much of one kind does not delay the other. */
  private async sendWaiting(): Promise<void> {
    for (let isSent = true; isSent;) {
      isSent = false;
      for (const channel of this.channels) {
        const batch = channel.next();
        if (batch === undefined) continue;
        if (!(await this.publishBatch(channel, batch))) return this.reconnect();
        isSent = true;
      }
    }
    this.reportDropped();
  }

  /** One batch at a time: what arrives meanwhile shares the next one. */
  private async publishBatch(channel: AnyChannel, batch: string): Promise<boolean> {
    try {
      await this.publisher.publish(channel.name, batch);
    } catch (error) {
      // Redis refused this batch and will again. After any other error it may or may not have been
      // published, and is sent again.
      if (!(error instanceof ReplyError)) return false;
      logFailure(this.logger, 'error', `Redis refused a batch of ${channel.label}`, error);
    }
    channel.settle();
    return true;
  }

  /** A connection that is closed here still has the status `ready` until a hung Redis closes it too. */
  private get canSend(): boolean {
    return this.publisher.status === 'ready' && !this.isReconnecting;
  }

  /** Once per connection: each call adds a timer and a listener to the socket that is ending. */
  private reconnect(): void {
    if (!this.canSend || this.isClosed) return;
    this.isReconnecting = true;
    this.publisher.disconnect(true);
  }

  private reportDropped(): void {
    for (const channel of this.channels) {
      if (channel.dropped === 0) continue;
      this.logger.error(`other nodes have missed ${channel.dropped} ${channel.label}`);
      channel.dropped = 0;
    }
  }

  private connect(purpose: string, options: RedisOptions): Redis {
    const { busCommandTimeoutMs, busReconnectMaxMs } = this.timings;
    const redis = new Redis(this.redisUrl, {
      ...options,
      connectTimeout: busCommandTimeoutMs,
      retryStrategy: (times) => Math.min(times * 100, busReconnectMaxMs),
    });
    let isAway = false;
    redis.on('error', (error) => {
      if (!isAway) {
        logFailure(this.logger, 'warn', `no Redis to ${purpose} realtime events`, error);
      }
      isAway = true;
    });
    redis.on('ready', () => {
      if (isAway) this.logger.log(`Redis is back to ${purpose} realtime events`);
      isAway = false;
    });
    return redis;
  }
}

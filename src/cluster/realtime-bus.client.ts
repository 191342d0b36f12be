import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { Logger, type OnApplicationShutdown } from '@nestjs/common';
import { redisAddressOf } from '../config/redis-url.js';
import { FailureLog } from '../redis/failure.log.js';
import {
  isRefusal,
  RedisClient,
  type RedisClientOptions,
  type RedisTimings,
} from '../redis/redis.client.js';
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
  private readonly publisher: RedisClient;
  private subscriber: RedisClient | undefined;
  /** What this node receives, and whether Redis has subscribed it on the present connection. */
  private readonly subscriptions = new Map<AnyChannel, 'pending' | 'made'>();
  private onEvents: EventsListener | undefined;
  private sending: Promise<void> | undefined;
  private isClosed = false;
  private readonly refusedBatches = new FailureLog(this.logger, 'Redis refuses to publish');
  private readonly refusedSubscriptions = new FailureLog(
    this.logger,
    'cannot subscribe in Redis: this node receives nothing of others',
    'this node receives from others again',
  );

  constructor(
    private readonly redisUrl: string,
    private readonly timings: RedisTimings,
  ) {
    super();
    // A batch that fails stays the next one here, where its number is known.
    this.publisher = this.connect('publish', { failsFast: true });
    this.publisher.on('ready', () => this.startSending());
    // The databases of a Redis share its channels; installations in two of them are separate.
    const prefix = `tidings:${redisAddressOf(redisUrl)?.db ?? 0}:realtime`;
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
    const isSubscribed = [...this.subscriptions.values()].every((state) => state === 'made');
    return this.publisher.status === 'ready' && isSubscribed;
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
    this.publisher.close();
    this.subscriber?.close();
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

  private async subscribed(channel: AnyChannel): Promise<void> {
    const subscriber = (this.subscriber ??= this.startReceiving());
    this.subscriptions.set(channel, 'pending');
    const first = new Promise<void>((resolve) => {
      const subscribe = () => void this.subscribe(subscriber, channel).then(resolve);
      if (subscriber.status === 'ready') subscribe();
      subscriber.on('ready', subscribe);
    });
    await Promise.race([first, delay(WAIT_MS, undefined, { ref: false })]);
  }

  private startReceiving(): RedisClient {
    // A Redis that hangs for a moment still sends what was published meanwhile: to this connection only.
    const subscriber = this.connect('receive', { silentForMs: 3 * this.timings.redisTimeoutMs });
    subscriber.on('close', () => {
      for (const channel of this.subscriptions.keys()) this.subscriptions.set(channel, 'pending');
    });
    subscriber.on('messageBuffer', (name: Buffer, message: Buffer) => {
      const channel = this.channels.find((each) => each.name === name.toString());
      if (!channel?.receive(message)) this.logger.debug(`no batch on ${name.toString()}`);
    });
    return subscriber;
  }

  /**
   * On every connection, and again while Redis refuses it; what was published in between did not
   * arrive here.
   */
  private async subscribe(subscriber: RedisClient, channel: AnyChannel): Promise<void> {
    const { stream } = subscriber;
    const isCurrent = () => subscriber.stream === stream && subscriber.status === 'ready';
    while (isCurrent() && !this.isClosed) {
      try {
        await subscriber.subscribe(channel.name);
        if (!isCurrent()) return;
        this.subscriptions.set(channel, 'made');
        this.refusedSubscriptions.worked();
        return;
      } catch (error) {
        if (isCurrent()) this.refusedSubscriptions.failed(error, { channel: channel.name });
        // Its timeout means that Redis may yet subscribe; on a new connection that is known again.
        if (!isRefusal(error)) return subscriber.replace('a subscription was not answered');
        await delay(this.timings.redisReconnectMaxMs, undefined, { ref: false });
      }
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
        // The next connection sends it again, under its number.
        if (!(await this.publishBatch(channel, batch))) {
          return this.publisher.replace('Redis has not answered in time');
        }
        isSent = true;
      }
    }
    this.reportDropped();
  }

  /** One batch at a time: what arrives meanwhile shares the next one. */
  private async publishBatch(channel: AnyChannel, batch: string): Promise<boolean> {
    try {
      await this.publisher.publish(channel.name, batch);
      this.refusedBatches.worked();
    } catch (error) {
      // Redis refused this batch and will again. After any other error it may or may not have been
      // published, and is sent again.
      if (!isRefusal(error)) return false;
      this.refusedBatches.failed(error, { lost: channel.label });
    }
    channel.settle();
    return true;
  }

  private get canSend(): boolean {
    const { status, stream } = this.publisher;
    // The status of a connection that was cut changes a moment later.
    return status === 'ready' && stream.writable;
  }

  private reportDropped(): void {
    for (const channel of this.channels) {
      if (channel.dropped === 0) continue;
      this.logger.error(`other nodes have missed ${channel.dropped} ${channel.label}`);
      channel.dropped = 0;
    }
  }

  private connect(
    purpose: 'publish' | 'receive',
    more: Pick<RedisClientOptions, 'failsFast' | 'silentForMs'>,
  ): RedisClient {
    return new RedisClient({
      url: this.redisUrl,
      purpose: `${purpose} realtime events`,
      timings: this.timings,
      ...more,
    });
  }
}

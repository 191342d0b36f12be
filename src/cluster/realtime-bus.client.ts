import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { Logger, type OnApplicationShutdown } from '@nestjs/common';
import { Redis, type RedisOptions, ReplyError } from 'ioredis';
import type { RealtimeEvent } from '../shared/realtime-event.js';
import { BusChannel } from './bus-channel.js';
import {
  EVENT_LIMITS,
  EventItem,
  type Note,
  NOTE_LIMITS,
  NoteItem,
  noteLength,
} from './bus-items.js';

/**
 * The way from a process to the others: events for their sockets, and notes for themselves.
 *
 * It is as reliable as Redis Pub/Sub, that is, not: a process that is cut off has a gap. Events that
 * it loses are in the event log; whoever writes notes has to live with the loss of some.
 */
export abstract class RealtimeBus {
  /** Names this process to the others; new for every process. */
  readonly node = randomUUID();

  /** There can be no other process. */
  abstract readonly isAlone: boolean;

  /** Whether others can hear this process at the moment, and it them. */
  abstract readonly isConnected: boolean;

  /** Tells every other process. Never waits and never throws. */
  abstract send(events: readonly RealtimeEvent[]): void;

  /** Writes to one process, or to all others. Never waits and never throws. */
  abstract tell(note: Note): void;

  /**
   * Calls the handler with what other processes send, from now until shutdown. Called once.
   * Settles when the subscription stands, or after a moment without one: it then comes later.
   */
  abstract listen(handler: (events: RealtimeEvent[]) => void): Promise<void>;

  /** The same for notes to this process, or to all. */
  abstract hear(handler: (note: Note, node: string) => void): Promise<void>;
}

/** There is no other process. */
export class NoRealtimeBus extends RealtimeBus {
  override readonly isAlone = true;
  override readonly isConnected = true;

  override send(): void {}

  override tell(): void {}

  override listen(): Promise<void> {
    return Promise.resolve();
  }

  override hear(): Promise<void> {
    return Promise.resolve();
  }
}

/** What sending asks of a channel, whatever its items are. */
type Sending = Pick<BusChannel<Note>, 'name' | 'things' | 'dropped' | 'next' | 'settle' | 'take'>;

/** A Redis that has not answered by then is hung; its connection is given up. */
const COMMAND_TIMEOUT_MS = 2_000;
const MAX_RECONNECT_MS = 2_000;
/** For the subscription at the start and for the last batches at the end. */
const PATIENCE_MS = 1_000;

/** Over Redis Pub/Sub: one connection that publishes and, where somebody listens, one for that. */
export class RedisRealtimeBus extends RealtimeBus implements OnApplicationShutdown {
  override readonly isAlone = false;
  private readonly logger = new Logger(RealtimeBus.name);
  private readonly events: BusChannel<RealtimeEvent>;
  private readonly notes: BusChannel<Note>;
  private readonly publisher: Redis;
  private subscriber: Redis | undefined;
  private sending: Promise<void> | undefined;
  private isClosed = false;
  private isReconnecting = false;

  constructor(private readonly redisUrl: string) {
    super();
    this.publisher = this.connect('publish', {
      // A batch that fails stays the next one here, where its number is known.
      maxRetriesPerRequest: 0,
      enableOfflineQueue: false,
      commandTimeout: COMMAND_TIMEOUT_MS,
    });
    this.publisher.on('ready', () => {
      this.isReconnecting = false;
      this.startSending();
    });
    // Channels are shared by the databases of a server; installations in two of them are not one.
    const prefix = `tidings:${this.publisher.options.db ?? 0}:realtime`;
    this.events = new BusChannel({
      name: `${prefix}:events`,
      node: this.node,
      things: 'events',
      limits: EVENT_LIMITS,
      item: EventItem,
      lengthOf: ({ body }) => body.length,
    });
    this.notes = new BusChannel({
      name: `${prefix}:notes`,
      node: this.node,
      things: 'notes',
      limits: NOTE_LIMITS,
      item: NoteItem,
      lengthOf: noteLength,
    });
  }

  override get isConnected(): boolean {
    const isHeard = this.publisher.status === 'ready';
    return isHeard && (this.subscriber === undefined || this.subscriber.status === 'ready');
  }

  override send(events: readonly RealtimeEvent[]): void {
    this.put(this.events, events);
  }

  override tell(note: Note): void {
    this.put(this.notes, [note]);
  }

  override listen(handler: (events: RealtimeEvent[]) => void): Promise<void> {
    this.events.hear(({ items }) => handler(items));
    return this.subscribed(this.events);
  }

  override hear(handler: (note: Note, node: string) => void): Promise<void> {
    this.notes.hear(({ node, items }) => {
      for (const note of items) {
        if (note.to === undefined || note.to === this.node) handler(note, node);
      }
    });
    return this.subscribed(this.notes);
  }

  /** Publishes what waits, if Redis answers, and disconnects. */
  async onApplicationShutdown(): Promise<void> {
    this.isClosed = true;
    await Promise.race([this.sendLast(), delay(PATIENCE_MS, undefined, { ref: false })]);
    this.publisher.disconnect();
    this.subscriber?.disconnect();
  }

  private get channels(): Sending[] {
    return [this.events, this.notes];
  }

  private put<Item>(channel: BusChannel<Item>, items: readonly Item[]): void {
    if (this.isClosed) return;
    const isFirstLoss = channel.dropped === 0;
    if (!channel.add(items) && isFirstLoss) {
      this.logger.error(`Redis does not keep up: other processes miss ${channel.things}`);
    }
    this.startSending();
  }

  private async subscribed({ name }: Sending): Promise<void> {
    const subscriber = (this.subscriber ??= this.startListening());
    const first = new Promise<void>((resolve) => {
      if (subscriber.status === 'ready') void this.subscribe(subscriber, name).then(resolve);
      subscriber.on('ready', () => void this.subscribe(subscriber, name).then(resolve));
    });
    await Promise.race([first, delay(PATIENCE_MS, undefined, { ref: false })]);
  }

  private startListening(): Redis {
    const subscriber = this.connect('listen', {
      maxRetriesPerRequest: null,
      autoResubscribe: false,
      keepAlive: 10_000,
    });
    subscriber.on('messageBuffer', (name: Buffer, message: Buffer) => {
      const channel = this.channels.find((each) => each.name === name.toString());
      if (!channel?.take(message)) {
        this.logger.debug(`not one of our messages on ${name.toString()}`);
      }
    });
    return subscriber;
  }

  /** After every connection: whatever was published in between was not heard here. */
  private async subscribe(subscriber: Redis, name: string): Promise<void> {
    try {
      await subscriber.subscribe(name);
    } catch (error) {
      this.logger.warn(`cannot subscribe to ${name}: ${String(error)}`);
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

  /** The channels take turns, so that much of one kind does not hold up the other. */
  private async sendWaiting(): Promise<void> {
    for (let isSent = true; isSent;) {
      isSent = false;
      for (const channel of this.channels) {
        const batch = channel.next();
        if (batch === undefined) continue;
        if (!(await this.publish(channel, batch))) return this.reconnect();
        isSent = true;
      }
    }
    this.reportDropped();
  }

  /** One batch at a time: what arrives meanwhile shares the next one. */
  private async publish(channel: Sending, batch: string): Promise<boolean> {
    try {
      await this.publisher.publish(channel.name, batch);
    } catch (error) {
      // Redis refused this batch and will again; otherwise its fate is unknown and it is sent again.
      if (!(error instanceof ReplyError)) return false;
      this.logger.error(`Redis refused a batch of ${channel.things}: ${String(error)}`);
    }
    channel.settle();
    return true;
  }

  /** A connection that is being given up calls itself ready until Redis, which hangs, has closed it. */
  private get canSend(): boolean {
    return this.publisher.status === 'ready' && !this.isReconnecting;
  }

  /** Once per connection: each time would add a timer and a listener to a socket that is ending. */
  private reconnect(): void {
    if (!this.canSend || this.isClosed) return;
    this.isReconnecting = true;
    this.publisher.disconnect(true);
  }

  private reportDropped(): void {
    for (const channel of this.channels) {
      if (channel.dropped === 0) continue;
      this.logger.error(`other processes have missed ${channel.dropped} ${channel.things}`);
      channel.dropped = 0;
    }
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

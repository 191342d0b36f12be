import { setTimeout as delay } from 'node:timers/promises';
import { Inject, Injectable } from '@nestjs/common';
import { type Principal, shareOf, viewerOf } from '../../auth/principal.js';
import { EventTypeCache } from '../../event-types/event-type-cache.service.js';
import { AppError } from '../../shared/app-error.js';
import { maySee } from '../../shared/visibility.js';
import type { Connection } from '../connections/realtime.connection.js';
import { EncodedEvent, FrameBatch } from '../fanout/frame.js';
import { RealtimeCounters } from '../lifecycle/realtime-counters.service.js';
import type { RealtimeErrorCode, Recovery } from '../protocol.js';
import { allows, typesAllowed } from '../subscriptions/topic-rights.js';
import type { TopicWithLast } from '../subscribed-topic.js';
import { isChannelTopic, type Topic, type TypeTopic } from '../topic.js';
import { inLogOrder } from './last-events.js';
import type { ChannelType } from './log-reader.store.js';
import { LogClock } from './log-clock.service.js';
import { inParts, type LoggedEvent } from './log-page.js';
import { ReplayBuffer } from './replay-buffer.js';
import { beginningFor, type ResumePoint } from './resume-point.js';
import { SharedLogReader } from './shared-log-reader.service.js';

/** Pages for one client, of 2,000 rows of the log each; a client that is further behind has a gap. */
const MAX_PAGES = 250;
/** As much may wait for the client before it is sent more. */
const MAX_UNREAD_BYTES = 1024 * 1024;
const READ_CHECK_MS = 20;
/** Replayed events may arrive from other nodes until then, as late duplicates. */
const LATE_DUPLICATES_MS = 10_000;
/** Replays of one connection that wait for each other; further ones are refused. */
const MAX_WAITING = 8;

/** What a client asks for that resumes. */
export interface ReplayRequest {
  connection: Connection;
  /** The last event that the client has received, or a position. */
  after: string;
  /** The topics whose missed events it is sent; the connection may subscribe to them. */
  topics: readonly Topic[];
  /** Subscribes to them: from then on live events are sent. To be called once. */
  join: () => void;
  /** What is sent instead if the log does not reach back that far. */
  last?: readonly TopicWithLast[];
}

/** What a client asks for that wants the newest events of topics first. */
export interface LastRequest extends Pick<ReplayRequest, 'connection' | 'join'> {
  last: readonly TopicWithLast[];
}

/** What was sent before the live events. */
export interface Sent {
  replayed: number;
  /** True: there may be more than were found, further back than is searched. */
  truncated: boolean;
  position?: string;
}

/** The replays of a connection, which run one after the other. */
interface Queue {
  last: Promise<unknown>;
  length: number;
}

/**
 * Sends clients what they missed from the event log, in order, and lets them join the live events
 * without a gap. Live events that come meanwhile follow the answer: before it everything is in the
 * order of the log, after it in the order in which it reaches this node.
 */
@Injectable()
export class ReplayService {
  private readonly queues = new WeakMap<Connection, Queue>();

  constructor(
    private readonly log: SharedLogReader,
    private readonly clock: LogClock,
    private readonly counters: RealtimeCounters,
    @Inject(EventTypeCache)
    private readonly types: Pick<EventTypeCache, 'typesIn' | 'channelOf'>,
  ) {}

  /**
   * Live events follow the turn of the event loop in which the answer settles.
   *
   * @throws AppError `rate_limited`
   */
  async replay(request: ReplayRequest): Promise<Recovery> {
    return this.inTurn(request.connection, () => this.run(request));
  }

  /**
   * Sends the newest events of topics, and joins the live ones. They are in the order of the log; live
   * events follow the turn of the event loop in which the answer settles.
   *
   * @throws AppError `rate_limited`
   */
  async last(request: LastRequest): Promise<Sent> {
    return this.inTurn(request.connection, () => this.sendLast(request));
  }

  private inTurn<Result>(connection: Connection, run: () => Promise<Result>): Promise<Result> {
    const queue = this.queues.get(connection) ?? { last: Promise.resolve(), length: 0 };
    if (queue.length >= MAX_WAITING) throw tooMany();
    this.queues.set(connection, queue);
    queue.length++;
    const result = queue.last.then(run);
    queue.last = result.then(answered, answered).finally(() => queue.length--);
    return result;
  }

  /**
   * Joins without missed events.
   *
   * @returns the position after which the connection is sent everything; undefined: it is not known
   */
  async begin(join: () => void): Promise<string | undefined> {
    // Joined first: what commits after the position is sent.
    join();
    return this.clock.now();
  }

  private async run(request: ReplayRequest): Promise<Recovery> {
    const recovery = await this.recover(request);
    this.counters.recovery(recovery.recovered);
    return recovery;
  }

  private async recover(request: ReplayRequest): Promise<Recovery> {
    const { connection, after } = request;
    const point = await this.log.resumePoint(after, shareOf(connection.principal));
    if (!point || !canSee(connection.principal, point)) {
      if (request.last?.some(({ last }) => last !== undefined)) {
        return { recovered: false, ...(await this.sendLast({ ...request, last: request.last })) };
      }
      const position = await this.begin(request.join);
      return { recovered: false, replayed: 0, ...(position !== undefined && { position }) };
    }
    // Before the first page: everything that had committed by then is sent from the log.
    const position = await this.clock.now();
    // Joined before a page is requested: events that commit after the page was read arrive live, and wait.
    const buffer = new ReplayBuffer();
    connection.gate = buffer;
    try {
      request.join();
      const recovery = await this.sendPages(request, point, buffer);
      return { ...recovery, ...(position !== undefined && { position }) };
    } catch (error) {
      // Sending the live events that wait would move the client past the missed ones: it reconnects.
      connection.close('history_unavailable');
      throw error;
    } finally {
      void answered().then(() => open(connection, buffer));
    }
  }

  private async sendLast({ connection, join, last }: LastRequest): Promise<Sent> {
    const buffer = new ReplayBuffer();
    connection.gate = buffer;
    try {
      // Joined before a read is requested: events that commit after it arrive live, and wait.
      const position = await this.begin(join);
      const { events, truncated } = await this.newestOf(connection, last);
      let replayed = 0;
      const encoded = events.map(
        (event) => new EncodedEvent(event, this.types.channelOf(event.type)),
      );
      for (const part of inParts(encoded)) {
        replayed += sendInOrder(connection, buffer, part);
        await hasRead(connection);
      }
      return { replayed, truncated, ...(position !== undefined && { position }) };
    } catch (error) {
      // It may have joined, and would be sent live events of a request that was refused: it reconnects.
      connection.close('history_unavailable');
      throw error;
    } finally {
      void answered().then(() => open(connection, buffer));
    }
  }

  /** One topic after the other: a connection has one read waiting at most. */
  private async newestOf(
    connection: Connection,
    topics: readonly TopicWithLast[],
  ): Promise<{ events: LoggedEvent[]; truncated: boolean }> {
    const found: LoggedEvent[] = [];
    let truncated = false;
    for (const { topic, last: count } of topics) {
      if (count === undefined || !connection.isOpen) continue;
      const { principal } = connection;
      const ownerId = viewerOf(principal).ownerId;
      const ofTopic: LoggedEvent[] = [];
      for (const one of this.typeTopics(principal, topic)) {
        const result = await this.log.last({ ownerId, topic: one, count }, shareOf(principal));
        // The new principal may see less: what was read is for the earlier one.
        if (connection.principal !== principal) break;
        ofTopic.push(...result.events);
        truncated ||= result.truncated;
      }
      if (connection.principal === principal) found.push(...inLogOrder(ofTopic).slice(-count));
    }
    return { events: inLogOrder(found), truncated };
  }

  /** What a topic means in the log, of that what the principal may receive. */
  private typeTopics(principal: Principal, topic: Topic): TypeTopic[] {
    if (!allows(principal, topic, this.types)) return [];
    if (!isChannelTopic(topic)) return [topic];
    const { channel, subject } = topic;
    return typesAllowed(principal, channel, this.types).map((type) => ({ type, subject }));
  }

  private async sendPages(
    { connection, topics }: ReplayRequest,
    point: ResumePoint,
    buffer: ReplayBuffer,
  ): Promise<Recovery> {
    let position = beginningFor(point);
    let replayed = 0;
    for (let count = 0; count < MAX_PAGES && connection.isOpen; count++) {
      const { principal } = connection;
      const page = await this.log.page({
        point,
        from: position,
        scope: {
          ownerId: viewerOf(principal).ownerId,
          topics: topics.filter((topic) => allows(principal, topic, this.types)),
          channelTypes: this.channelTypes(principal, topics),
        },
        reader: shareOf(principal),
      });
      for (const part of page.missedSince(point)) {
        // The new principal may see less: the page is requested again.
        if (connection.principal !== principal) break;
        replayed += send(connection, buffer, part);
        await hasRead(connection);
      }
      if (connection.principal !== principal) continue;
      if (!page.next) return { recovered: true, replayed };
      position = page.next;
    }
    return { recovered: false, replayed };
  }

  /** As the catalogue is now: the log does not say in which channel a type was. */
  private channelTypes(principal: Principal, topics: readonly Topic[]): ChannelType[] {
    const names = new Set(topics.filter(isChannelTopic).map(({ channel }) => channel));
    return [...names].flatMap((channel) =>
      typesAllowed(principal, channel, this.types).map((type) => ({ type, channel })),
    );
  }
}

/** @returns how many of them had not been sent already */
function send(connection: Connection, buffer: ReplayBuffer, missed: FrameBatch): number {
  const events = missed.events.filter(({ id }) => buffer.replays(id));
  connection.sendAll(events.length === missed.events.length ? missed : new FrameBatch(events));
  return events.length;
}

/**
 * As {@link send}. Live events of the meantime that are older than one of these come before it: a client
 * that wants the present value would otherwise take an earlier one for it.
 */
function sendInOrder(
  connection: Connection,
  buffer: ReplayBuffer,
  events: readonly EncodedEvent[],
): number {
  let sent = 0;
  let next: EncodedEvent[] = [];
  for (const event of events) {
    const earlier = buffer.before(event.id);
    if (earlier.length > 0) {
      if (next.length > 0) connection.sendAll(new FrameBatch(next));
      next = [];
      for (const frame of earlier) connection.send(frame);
    }
    if (!buffer.replays(event.id)) continue;
    next.push(event);
    sent++;
  }
  if (next.length > 0) connection.sendAll(new FrameBatch(next));
  return sent;
}

/** Sends the live events that were kept back; those in the fan-out come after them. */
function open(connection: Connection, buffer: ReplayBuffer): void {
  connection.catchUp();
  for (const frame of buffer.open()) connection.send(frame);
  setTimeout(() => {
    if (connection.gate === buffer) connection.gate = undefined;
  }, LATE_DUPLICATES_MS).unref();
}

/** The turn after the one in which a result settles: by then it has been sent to the client. */
const answered = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A client that names an event that it may not see must not learn that it exists. */
const canSee = (principal: Principal, { audience }: ResumePoint): boolean =>
  audience === null || maySee(viewerOf(principal), audience);

const tooMany = (): AppError =>
  new AppError(
    'unavailable',
    'rate_limited' satisfies RealtimeErrorCode,
    'This connection resumes too often. Wait for the answers.',
  );

/** The client sets the speed; one that stops reading is cut as a slow consumer. */
async function hasRead(connection: Connection): Promise<void> {
  while (connection.isOpen && connection.backlogBytes > MAX_UNREAD_BYTES) {
    await delay(READ_CHECK_MS);
  }
}

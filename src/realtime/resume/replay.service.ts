import { setTimeout as delay } from 'node:timers/promises';
import { Inject, Injectable } from '@nestjs/common';
import { type Principal, shareOf, viewerOf } from '../../auth/principal.js';
import { EventTypeCache } from '../../event-types/event-type-cache.service.js';
import { AppError } from '../../shared/app-error.js';
import { maySee } from '../../shared/visibility.js';
import type { Connection } from '../connections/realtime.connection.js';
import { FrameBatch } from '../fanout/frame.js';
import { RealtimeCounters } from '../lifecycle/realtime-counters.service.js';
import type { RealtimeErrorCode, Recovery } from '../protocol.js';
import { allows, type Channels, typesAllowed } from '../subscriptions/topic-rights.js';
import { isChannelTopic, type Topic } from '../topic.js';
import type { ChannelType } from './log-reader.store.js';
import { LogClock } from './log-clock.service.js';
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
    @Inject(EventTypeCache) private readonly channels: Channels,
  ) {}

  /**
   * Live events follow the turn of the event loop in which the answer settles.
   *
   * @throws AppError `rate_limited`
   */
  async replay(request: ReplayRequest): Promise<Recovery> {
    const queue = this.queues.get(request.connection) ?? { last: Promise.resolve(), length: 0 };
    if (queue.length >= MAX_WAITING) throw tooMany();
    this.queues.set(request.connection, queue);
    queue.length++;
    const recovery = queue.last.then(() => this.run(request));
    queue.last = recovery.then(answered, answered).finally(() => queue.length--);
    return recovery;
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
          topics: topics.filter((topic) => allows(principal, topic, this.channels)),
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
      typesAllowed(principal, channel, this.channels).map((type) => ({ type, channel })),
    );
  }
}

/** @returns how many of them had not been sent already */
function send(connection: Connection, buffer: ReplayBuffer, missed: FrameBatch): number {
  const events = missed.events.filter(({ id }) => buffer.replays(id));
  connection.sendAll(events.length === missed.events.length ? missed : new FrameBatch(events));
  return events.length;
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

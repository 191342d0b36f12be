import { setTimeout as delay } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { canSubscribe, type Principal, viewerOf } from '../../auth/principal.js';
import { maySee } from '../../shared/visibility.js';
import type { Connection } from '../connections/realtime.connection.js';
import { FrameBatch } from '../fanout/frame.js';
import { RealtimeCounters } from '../lifecycle/realtime-counters.service.js';
import type { Recovery } from '../protocol.js';
import type { Audience } from '../fanout/rooms.js';
import type { Topic } from '../topic.js';
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

/** What a client asks for that resumes. */
export interface ReplayRequest {
  connection: Connection;
  /** The last event that the client has received. */
  after: string;
  /** The topics whose missed events it is sent; the connection may subscribe to them. */
  topics: readonly Topic[];
  /** Subscribes to them: from then on live events are sent. To be called once. */
  join(): void;
}

/**
 * Sends clients what they missed from the event log, in order, and lets them join the live events
 * without a gap.
 */
@Injectable()
export class ReplayService {
  /** The last replay of each connection: the next one begins after it. */
  private readonly running = new WeakMap<Connection, Promise<unknown>>();

  constructor(
    private readonly log: SharedLogReader,
    private readonly counters: RealtimeCounters,
  ) {}

  replay(request: ReplayRequest): Promise<Recovery> {
    const { connection } = request;
    const previous = this.running.get(connection) ?? Promise.resolve();
    const recovery = previous.then(() => this.run(request));
    this.running.set(
      connection,
      recovery.catch(() => undefined),
    );
    return recovery;
  }

  private async run(request: ReplayRequest): Promise<Recovery> {
    const recovery = await this.recover(request);
    this.counters.recovery(recovery.recovered);
    return recovery;
  }

  private async recover(request: ReplayRequest): Promise<Recovery> {
    const { connection, after } = request;
    const point = await this.log.resumePoint(after);
    if (!point || !canSee(connection.principal, point)) {
      request.join();
      return { recovered: false, replayed: 0 };
    }
    // Joined before a page is requested: events that commit after the page was read arrive live, and wait.
    const buffer = new ReplayBuffer();
    connection.gate = buffer;
    try {
      request.join();
      return await this.sendPages(request, point, buffer);
    } catch (error) {
      // Sending the live events that wait would move the client past the missed ones: it reconnects.
      connection.close('history_unavailable');
      throw error;
    } finally {
      // Live events that wait in the fan-out come after those in the buffer.
      connection.catchUp();
      for (const frame of buffer.open()) connection.send(frame);
      setTimeout(() => {
        if (connection.gate === buffer) connection.gate = undefined;
      }, LATE_DUPLICATES_MS).unref();
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
      const page = await this.log.page(point, position, {
        ownerId: viewerOf(principal).ownerId,
        topics: topics.filter(({ type }) => canSubscribe(principal, type)),
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
}

/** @returns how many of them had not been sent already */
function send(connection: Connection, buffer: ReplayBuffer, missed: FrameBatch): number {
  const events = missed.events.filter(({ id }) => buffer.replays(id));
  connection.sendAll(events.length === missed.events.length ? missed : new FrameBatch(events));
  return events.length;
}

/** A client that names an event that it may not see must not learn that it exists. */
const canSee = (principal: Principal, event: Audience): boolean =>
  maySee(viewerOf(principal), event);

/** The client sets the speed; one that stops reading is cut as a slow consumer. */
async function hasRead(connection: Connection): Promise<void> {
  while (connection.isOpen && connection.backlogBytes > MAX_UNREAD_BYTES) {
    await delay(READ_CHECK_MS);
  }
}

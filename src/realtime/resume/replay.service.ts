import { setTimeout as delay } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { canSubscribe, type Principal, viewerOf } from '../../auth/principal.js';
import { maySee } from '../../shared/visibility.js';
import { FrameBatch } from '../fanout/frame-batch.js';
import { EventReplay, type ReplayRequest } from './event-replay.js';
import type { Connection } from '../connections/realtime.connection.js';
import { RealtimeCounters } from '../lifecycle/realtime-counters.service.js';
import type { Recovery } from '../protocol.js';
import type { Audience } from '../fanout/rooms.js';
import { beginningFor, type ResumePoint } from './resume-point.js';
import { ReplayBuffer } from './replay-buffer.js';
import { SharedLogReader } from './shared-log-reader.service.js';

/** Pages for one client, of 2,000 rows of the log each: who is further behind has lost the thread. */
const MAX_PAGES = 250;
/** As much may wait for the client before it is sent more. */
const MAX_UNREAD_BYTES = 1024 * 1024;
const LOOK_AGAIN_MS = 20;
/** For events that were replayed and are still on their way from another process. */
const STRAGGLERS_MS = 10_000;

/** Sends clients what they missed from the event log, and joins them to the live events without a gap. */
@Injectable()
export class ReplayService extends EventReplay {
  /** The last replay of each connection: the next one comes after it. */
  private readonly running = new WeakMap<Connection, Promise<unknown>>();

  constructor(
    private readonly history: SharedLogReader,
    private readonly counters: RealtimeCounters,
  ) {
    super();
  }

  override replay(request: ReplayRequest): Promise<Recovery> {
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
    const landmark = await this.history.resumePoint(after);
    if (!landmark || !mayHave(connection.principal, landmark)) {
      request.join();
      return { recovered: false, replayed: 0 };
    }
    // Joined before a page is asked for: what commits after that was read comes live, and waits.
    const gate = new ReplayBuffer();
    connection.gate = gate;
    try {
      request.join();
      return await this.pages(request, landmark, gate);
    } catch (error) {
      // What waits would move the client on past what it has missed: it comes back where it is.
      connection.close('history_unavailable');
      throw error;
    } finally {
      // What waits belongs behind what the gate has kept back.
      connection.catchUp();
      for (const frame of gate.open()) connection.send(frame);
      setTimeout(() => {
        if (connection.gate === gate) connection.gate = undefined;
      }, STRAGGLERS_MS).unref();
    }
  }

  private async pages(
    { connection, topics }: ReplayRequest,
    landmark: ResumePoint,
    gate: ReplayBuffer,
  ): Promise<Recovery> {
    let position = beginningFor(landmark);
    let replayed = 0;
    for (let count = 0; count < MAX_PAGES && connection.isOpen; count++) {
      const { principal } = connection;
      const page = await this.history.page(landmark, position, {
        ownerId: viewerOf(principal).ownerId,
        topics: topics.filter(({ type }) => canSubscribe(principal, type)),
      });
      for (const part of page.missedSince(landmark)) {
        // Who it is now may hear less: the page is asked for again.
        if (connection.principal !== principal) break;
        replayed += send(connection, gate, part);
        await hasRead(connection);
      }
      if (connection.principal !== principal) continue;
      if (!page.next) return { recovered: true, replayed };
      position = page.next;
    }
    return { recovered: false, replayed };
  }
}

/** @returns how many of them it had not been sent already */
function send(connection: Connection, gate: ReplayBuffer, missed: FrameBatch): number {
  const events = missed.events.filter(({ id }) => gate.replays(id));
  connection.sendAll(events.length === missed.events.length ? missed : new FrameBatch(events));
  return events.length;
}

/** Whoever names an event that it may not see must not learn that there is one. */
const mayHave = (principal: Principal, event: Audience): boolean =>
  maySee(viewerOf(principal), event);

/** The client sets the pace; one that stops reading is cut by the watch over slow consumers. */
async function hasRead(connection: Connection): Promise<void> {
  while (connection.isOpen && connection.backlogBytes > MAX_UNREAD_BYTES) {
    await delay(LOOK_AGAIN_MS);
  }
}

import { setTimeout as delay } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { isAdmin, mayHear, type Principal } from '../../auth/principal.js';
import { EventTypeRegistry } from '../../event-types/event-type-registry.service.js';
import { EventReplay, type ReplayRequest } from '../event-replay.js';
import type { Connection } from '../realtime.connection.js';
import { RealtimeCounters } from '../lifecycle/realtime-counters.service.js';
import type { Recovery } from '../realtime-events.js';
import type { Audience } from '../rooms.js';
import { EventHistoryStore, type Landmark } from './event-history.store.js';
import { ReplayGate } from './replay-gate.js';
import { Turns } from './turns.js';

/** Pages that are read at once in this process; the clients of a reconnect storm take turns. */
const MAX_PAGES_AT_ONCE = 4;
/** Pages for one client, of 2,000 rows of the log each: who is further behind has lost the thread. */
const MAX_PAGES = 250;
/** As much may wait for the client before the next page is read. */
const MAX_UNREAD_BYTES = 1024 * 1024;
const LOOK_AGAIN_MS = 20;
/** For events that were replayed and are still on their way from another process. */
const STRAGGLERS_MS = 10_000;

/** Sends clients what they missed from the event log, and joins them to the live events without a gap. */
@Injectable()
export class HistoryReplay extends EventReplay {
  private readonly turns = new Turns(MAX_PAGES_AT_ONCE);
  /** The last replay of each connection: the next one comes after it. */
  private readonly running = new WeakMap<Connection, Promise<unknown>>();

  constructor(
    private readonly history: EventHistoryStore,
    private readonly types: EventTypeRegistry,
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
    const landmark = await this.turns.take(() => this.history.landmark(after));
    if (!landmark || !mayHave(connection.principal, landmark)) {
      request.join();
      return { recovered: false, replayed: 0 };
    }
    // Joined before the log is read: what commits after a page was read comes live, and waits.
    const gate = new ReplayGate();
    connection.gate = gate;
    try {
      request.join();
      return await this.pages(request, landmark, gate);
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
    landmark: Landmark,
    gate: ReplayGate,
  ): Promise<Recovery> {
    let position = { tx: landmark.horizon, id: '' };
    let replayed = 0;
    for (let count = 0; count < MAX_PAGES && connection.isOpen; count++) {
      const { principal } = connection;
      const scope = {
        ownerId: isAdmin(principal) ? null : principal.ownerId,
        topics: topics.filter(({ type }) => mayHear(principal, type)),
      };
      const { events, next } = await this.turns.take(() =>
        this.history.page(landmark, position, scope),
      );
      for (const event of events) {
        if (!this.types.reaches(event.type, 'socket') || !gate.replays(event.id)) continue;
        connection.send(connection.encoding.event(event));
        replayed++;
      }
      if (!next) return { recovered: true, replayed };
      position = next;
      await hasRead(connection);
    }
    return { recovered: false, replayed };
  }
}

/** Whoever names an event that it may not see must not learn that there is one. */
const mayHave = (principal: Principal, { ownerId, type }: Audience): boolean =>
  isAdmin(principal) ||
  ((ownerId === null || ownerId === principal.ownerId) && mayHear(principal, type));

/** The client sets the pace; one that stops reading is cut by the watch over slow consumers. */
async function hasRead(connection: Connection): Promise<void> {
  while (connection.isOpen && connection.backlogBytes > MAX_UNREAD_BYTES) {
    await delay(LOOK_AGAIN_MS);
  }
}

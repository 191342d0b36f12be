import { setTimeout as delay } from 'node:timers/promises';
import { Inject, Injectable } from '@nestjs/common';
import { EventTypeRegistry } from '../../event-types/event-type-registry.service.js';
import { topicKey } from '../topics.js';
import { EventHistoryStore, type LogScope } from './event-history.store.js';
import { HistoryPage } from './history-page.js';
import {
  doubtOf,
  firstSnapshot,
  type Landmark,
  type LogPosition,
  lowestIdFor,
} from './landmark.js';
import { SharedReads } from './shared-reads.js';
import { Turns } from '../../common/turns.js';

/** Reads at once in this process; the clients of a reconnect storm take turns. */
const MAX_READS_AT_ONCE = 4;

/** A crowd that takes seconds to come back then needs tens of reads, not hundreds. */
const GATHER_MS = 50;

interface PageAsk {
  landmark: Landmark;
  from: LogPosition;
  scope: LogScope;
}

/**
 * The event log for a crowd that comes back: what several clients ask for that belong to one owner,
 * listen to the same and left off at nearly the same place is read once. A page was read after all
 * of them had asked, so whoever joins the live events before asking misses nothing in between.
 */
@Injectable()
export class SharedHistory {
  private readonly turns = new Turns(MAX_READS_AT_ONCE);
  private readonly landmarks = new SharedReads<string, Landmark | undefined>({
    turns: this.turns,
    read: ([id]) => this.store.landmark(id!),
    pause,
  });
  private readonly pages = new SharedReads<PageAsk, HistoryPage>({
    turns: this.turns,
    read: (asks) => this.read(asks),
    pause,
  });

  constructor(
    private readonly store: EventHistoryStore,
    @Inject(EventTypeRegistry) private readonly types: Pick<EventTypeRegistry, 'reaches'>,
  ) {}

  /** Undefined: retention has dropped the event, or it never was. */
  landmark(eventId: string): Promise<Landmark | undefined> {
    return this.landmarks.get(eventId, eventId);
  }

  /** What there is from this position on for somebody who has seen the landmark. */
  page(landmark: Landmark, from: LogPosition, scope: LogScope): Promise<HistoryPage> {
    const { ownerId, topics } = scope;
    const place = [lowestIdFor(landmark), landmark.toldBy, from.tx, from.id];
    const key = [ownerId, place, topics.map(topicKey).sort()];
    return this.pages.get(JSON.stringify(key), { landmark, from, scope });
  }

  private async read(asks: readonly PageAsk[]): Promise<HistoryPage> {
    const { landmark, from, scope } = asks[0]!;
    const landmarks = asks.map((ask) => ask.landmark);
    const { events, next } = await this.store.page({
      scope,
      from,
      lowestId: lowestIdFor(landmark),
      snapshot: firstSnapshot(landmarks),
      doubt: doubtOf(landmarks),
    });
    return new HistoryPage(
      events.filter(({ type }) => this.types.reaches(type, 'socket')),
      next,
    );
  }
}

const pause = (): Promise<unknown> => delay(GATHER_MS, undefined, { ref: false });

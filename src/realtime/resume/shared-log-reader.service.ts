import { setTimeout as delay } from 'node:timers/promises';
import { Inject, Injectable } from '@nestjs/common';
import { EventTypeCache } from '../../event-types/event-type-cache.service.js';
import { topicKey } from '../topic.js';
import { LogReaderStore, type LogScope } from './log-reader.store.js';
import { LogPageReader } from './log-page.js';
import {
  reorderWindowOf,
  firstSnapshot,
  type ResumePoint,
  type LogPosition,
  lowestIdFor,
} from './resume-point.js';
import { RequestCoalescer } from './request-coalescer.js';
import { Semaphore } from '../../shared/semaphore.js';

/** Reads at once in this process; the clients of a reconnect storm take turns. */
const MAX_READS_AT_ONCE = 4;

/** A crowd that takes seconds to come back then needs tens of reads, not hundreds. */
const GATHER_MS = 50;

interface PageAsk {
  landmark: ResumePoint;
  from: LogPosition;
  scope: LogScope;
}

/**
 * The event log for a crowd that comes back: what several clients ask for that belong to one owner,
 * listen to the same and left off at nearly the same place is read once. A page was read after all
 * of them had asked, so whoever joins the live events before asking misses nothing in between.
 */
@Injectable()
export class SharedLogReader {
  private readonly turns = new Semaphore(MAX_READS_AT_ONCE);
  private readonly landmarks = new RequestCoalescer<string, ResumePoint | undefined>({
    turns: this.turns,
    read: ([id]) => this.store.resumePoint(id!),
    pause,
  });
  private readonly pages = new RequestCoalescer<PageAsk, LogPageReader>({
    turns: this.turns,
    read: (asks) => this.read(asks),
    pause,
  });

  constructor(
    private readonly store: LogReaderStore,
    @Inject(EventTypeCache) private readonly types: Pick<EventTypeCache, 'reaches'>,
  ) {}

  /** Undefined: retention has dropped the event, or it never was. */
  resumePoint(eventId: string): Promise<ResumePoint | undefined> {
    return this.landmarks.get(eventId, eventId);
  }

  /** What there is from this position on for somebody who has seen the landmark. */
  page(landmark: ResumePoint, from: LogPosition, scope: LogScope): Promise<LogPageReader> {
    const { ownerId, topics } = scope;
    const place = [lowestIdFor(landmark), landmark.publishedBy, from.tx, from.id];
    const key = [ownerId, place, topics.map(topicKey).sort()];
    return this.pages.get(JSON.stringify(key), { landmark, from, scope });
  }

  private async read(asks: readonly PageAsk[]): Promise<LogPageReader> {
    const { landmark, from, scope } = asks[0]!;
    const landmarks = asks.map((ask) => ask.landmark);
    const { events, next } = await this.store.page({
      scope,
      from,
      lowestId: lowestIdFor(landmark),
      snapshot: firstSnapshot(landmarks),
      reorderWindow: reorderWindowOf(landmarks),
    });
    return new LogPageReader(
      events.filter(({ type }) => this.types.reaches(type, 'socket')),
      next,
    );
  }
}

const pause = (): Promise<unknown> => delay(GATHER_MS, undefined, { ref: false });

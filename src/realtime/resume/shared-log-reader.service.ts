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

/** Reads at once on this node; the clients of a reconnect storm wait for their turn. */
const MAX_READS_AT_ONCE = 4;

/** A crowd that reconnects within seconds then needs tens of reads, not hundreds. */
const GATHER_MS = 50;

interface PageRequest {
  point: ResumePoint;
  from: LogPosition;
  scope: LogScope;
}

/**
 * The event log for a crowd that resumes: a page is read once for all clients of one owner with the
 * same topics and nearly the same position. It is read after all of them have requested it, so a
 * client that joins the live events before that misses nothing in between.
 */
@Injectable()
export class SharedLogReader {
  private readonly semaphore = new Semaphore(MAX_READS_AT_ONCE);
  private readonly points = new RequestCoalescer<string, ResumePoint | undefined>({
    semaphore: this.semaphore,
    read: ([id]) => this.store.resumePoint(id!),
    pause,
  });
  private readonly pages = new RequestCoalescer<PageRequest, LogPageReader>({
    semaphore: this.semaphore,
    read: (requests) => this.read(requests),
    pause,
  });

  constructor(
    private readonly store: LogReaderStore,
    @Inject(EventTypeCache) private readonly types: Pick<EventTypeCache, 'reaches'>,
  ) {}

  /** Undefined: retention has dropped the event, or it never existed. */
  resumePoint(eventId: string): Promise<ResumePoint | undefined> {
    return this.points.get(eventId, eventId);
  }

  /** The page at this position, for a client that resumes there. */
  page(point: ResumePoint, from: LogPosition, scope: LogScope): Promise<LogPageReader> {
    const { ownerId, topics } = scope;
    const place = [lowestIdFor(point), point.publishedBy, from.tx, from.id];
    const key = [ownerId, place, topics.map(topicKey).sort()];
    return this.pages.get(JSON.stringify(key), { point, from, scope });
  }

  private async read(requests: readonly PageRequest[]): Promise<LogPageReader> {
    const { point, from, scope } = requests[0]!;
    const points = requests.map((request) => request.point);
    const { events, next } = await this.store.page({
      scope,
      from,
      lowestId: lowestIdFor(point),
      snapshot: firstSnapshot(points),
      reorderWindow: reorderWindowOf(points),
    });
    return new LogPageReader(
      events.filter(({ type }) => this.types.reaches(type, 'socket')),
      next,
    );
  }
}

const pause = (): Promise<unknown> => delay(GATHER_MS, undefined, { ref: false });

import { setTimeout as delay } from 'node:timers/promises';
import { Inject, Injectable } from '@nestjs/common';
import { CONFIG } from '../../config/config.module.js';
import type { Config } from '../../config/env.js';
import { EventTypeCache } from '../../event-types/event-type-cache.service.js';
import { topicKey, type TypeTopic } from '../topic.js';
import { FairSemaphore } from './fair-semaphore.js';
import { readPosition } from './log-position.js';
import { LogReaderStore, type LogScope } from './log-reader.store.js';
import type { LastEvents } from './last-events.js';
import { LogPageReader } from './log-page.js';
import {
  reorderWindowOf,
  firstSnapshot,
  type ResumePoint,
  type LogPosition,
  lowestIdFor,
  Snapshot,
} from './resume-point.js';
import { RequestCoalescer } from './request-coalescer.js';

/**
 * The clients of a reconnect storm wait for their turn. One owner leaves a read to others, and has at
 * most so many waiting, of clients that share none of them.
 */
const READS = { running: 4, runningPerOwner: 3, waitingPerOwner: 2_000 };
const DAY_MS = 86_400_000;

/** A crowd that reconnects within seconds then needs tens of reads, not hundreds. */
const GATHER_MS = 50;

export interface PageRequest {
  point: ResumePoint;
  from: LogPosition;
  scope: LogScope;
}

interface LastRequest {
  /** Null: of every owner. */
  ownerId: string | null;
  topic: TypeTopic;
  count: number;
}

/**
 * The event log for a crowd that resumes: a page is read once for all clients of one owner with the
 * same topics and nearly the same position. It is read after all of them have requested it, so a
 * client that joins the live events before that misses nothing in between.
 */
@Injectable()
export class SharedLogReader {
  private readonly semaphore = new FairSemaphore(READS);
  private readonly points = new RequestCoalescer<string, ResumePoint | undefined>({
    semaphore: this.semaphore,
    read: ([after]) => this.pointOf(after!),
    pause,
  });
  private readonly pages = new RequestCoalescer<PageRequest, LogPageReader>({
    semaphore: this.semaphore,
    read: (requests) => this.read(requests),
    pause,
  });
  private readonly newest = new RequestCoalescer<LastRequest, LastEvents>({
    semaphore: this.semaphore,
    read: ([request]) => this.readLast(request!),
    pause,
  });

  constructor(
    private readonly store: LogReaderStore,
    @Inject(EventTypeCache) private readonly types: Pick<EventTypeCache, 'reaches' | 'channelOf'>,
    @Inject(CONFIG) private readonly config: Pick<Config, 'retention'>,
  ) {}

  /**
   * Where a client resumes that names an event or a position.
   *
   * @param reader the owner whose share of the reads is used
   * @returns undefined: retention has dropped what came next, or it never existed
   * @throws AppError `rate_limited`
   */
  resumePoint(after: string, reader: string): Promise<ResumePoint | undefined> {
    return this.points.get(after, after, reader);
  }

  /**
   * The page at this position, for a client that resumes there.
   *
   * @throws AppError `rate_limited`
   */
  page({ point, from, scope, reader }: PageRequest & { reader: string }): Promise<LogPageReader> {
    const { ownerId, topics, channelTypes = [] } = scope;
    const place = [lowestIdFor(point), point.publishedBy, from.tx, from.id];
    const types = channelTypes.map(({ type, channel }) => [channel, type]);
    const key = [ownerId, place, topics.map(topicKey).sort(), types];
    return this.pages.get(JSON.stringify(key), { point, from, scope }, reader);
  }

  /**
   * The newest events of a topic. They are read after the call: a client that has joined the live
   * events by then misses none in between.
   *
   * @param reader the owner whose share of the reads is used
   * @throws AppError `rate_limited`
   */
  last(request: LastRequest, reader: string): Promise<LastEvents> {
    const { ownerId, topic, count } = request;
    return this.newest.get(JSON.stringify([ownerId, topicKey(topic), count]), request, reader);
  }

  private async readLast({ ownerId, topic, count }: LastRequest): Promise<LastEvents> {
    const { events, truncated } = await this.store.last(ownerId, topic, count);
    return { events: events.filter(({ type }) => this.types.reaches(type, 'socket')), truncated };
  }

  private async pointOf(after: string): Promise<ResumePoint | undefined> {
    const position = readPosition(after);
    if (!position) return this.store.resumePoint(after);
    const now = await this.store.moment();
    // A later transaction than any here is one of another installation.
    const isOurs = position.point.snapshot.end <= new Snapshot(now.snapshot).end;
    const keptSinceMs = now.atMs - this.config.retention.eventDays * DAY_MS;
    return isOurs && position.atMs >= keptSinceMs ? position.point : undefined;
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
      (type) => this.types.channelOf(type),
    );
  }
}

const pause = (): Promise<unknown> => delay(GATHER_MS, undefined, { ref: false });

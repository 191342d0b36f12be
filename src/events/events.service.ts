import { createHash } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { type EntityManager, Repository, type SelectQueryBuilder } from 'typeorm';
import { type Principal, viewerOf } from '../auth/principal.js';
import { AppError, InvalidInputError, NotFoundError } from '../shared/app-error.js';
import { matchesSql } from '../shared/event-pattern.js';
import { firstSuffixAt, isId, newId } from '../shared/ids.js';
import { decodeCursor, type Page, page } from '../shared/pagination.js';
import { fieldErrors } from '../shared/field-errors.js';
import { maySee, reachesSql } from '../shared/visibility.js';
import { EventEntity } from '../database/entities/event.entity.js';
import { EventTypeRegistry } from '../event-types/event-type-registry.service.js';
import type { SystemEvent } from '../system-events/system-event.js';
import { EventStore } from './event.store.js';
import {
  type EventQuery,
  type EventResponse,
  type NewEvent,
  PublishBatch,
  type PublishedBatch,
  type PublishedEvent,
  PublishEvent,
  toEventResponse,
} from './events.dto.js';
import { ownerOf, type PreparedEvent, prepared, timestampOf } from './prepare.js';
import { TransientEvents } from './transient.service.js';

/** What an internal module may add when it publishes. */
export interface PublishOptions {
  /**
   * The caller's own TypeORM transaction: the event becomes part of it, is delivered if it commits,
   * and never if it rolls back. Absent: committed by itself before the promise settles.
   */
  manager?: EntityManager;
}

/** A request that may be repeated safely: the caller, its key, and what it asked for. */
export interface Idempotency {
  principal: Principal;
  key: string | undefined;
}

/**
 * Publishes events, and reads the log. This is what other modules inject.
 *
 * @example
 * await this.dataSource.transaction(async (manager) => {
 *   await manager.insert(Trade, trade);
 *   await this.events.publish({ type: 'trade.submitted', data: trade }, { manager });
 * });
 */
@Injectable()
export class EventsService {
  /** Publications under a key that are under way here: the next of the same key waits for them. */
  private readonly underWay = new Map<string, Promise<unknown>>();

  constructor(
    private readonly store: EventStore,
    private readonly transientEvents: TransientEvents,
    private readonly eventTypes: EventTypeRegistry,
    @InjectRepository(EventEntity) private readonly events: Repository<EventEntity>,
  ) {}

  /**
   * Publishes one event on behalf of an internal module. Without `ownerId` it is public.
   * @throws InvalidInputError naming the field, also for data that does not fit the schema of its
   * type, and for a type that is not durable in a transaction, which could not take it back
   * @throws UnavailableError when nothing could be accepted
   */
  async publish(event: NewEvent, options: PublishOptions = {}): Promise<PublishedEvent> {
    const checked = parsed(PublishEvent, event);
    const ready = this.prepare(checked, checked.ownerId ?? null);
    await this.accept([ready], options);
    return published(ready, checked);
  }

  /** Publishes 1 to 1000 events, all or none; see {@link publish}. */
  async publishBatch(
    events: readonly NewEvent[],
    options: PublishOptions = {},
  ): Promise<PublishedBatch> {
    const checked = parsed(PublishBatch, { events: [...events] }).events;
    const ready = checked.map((event, index) =>
      this.prepare(event, event.ownerId ?? null, `events[${index}]`),
    );
    await this.accept(ready, options);
    return publishedBatch(ready);
  }

  /** What the system tells about itself; only from here, because its owner may be the operator. */
  async publishSystemEvents(events: readonly SystemEvent[]): Promise<void> {
    const ready = events.map(({ ownerId, ...event }) =>
      prepared(event, { id: newId('evt'), ownerId, eventType: undefined }),
    );
    await this.accept(ready, {});
  }

  /** Publishes for a caller from outside; the same key and content give the same answer again. */
  async publishFor(event: PublishEvent, { principal, key }: Idempotency): Promise<PublishedEvent> {
    const ready = this.prepare(event, ownerOf(event, principal));
    const earlier = await this.acceptOnce([ready], event, principal, key);
    return published(ready, event, earlier?.[0]);
  }

  /** {@link publishFor} for 1 to 1000 events, all or none. */
  async publishBatchFor(
    { events }: PublishBatch,
    { principal, key }: Idempotency,
  ): Promise<PublishedBatch> {
    const ready = events.map((event, index) => {
      const field = `events[${index}]`;
      return this.prepare(event, ownerOf(event, principal, field), field);
    });
    const earlier = await this.acceptOnce(ready, events, principal, key);
    return publishedBatch(ready, earlier);
  }

  async get(id: string, principal: Principal): Promise<EventResponse> {
    const event = isId('evt', id) ? await this.events.findOneBy({ id }) : null;
    if (!event || !maySee(viewerOf(principal), event)) throw new NotFoundError('event', id);
    return toEventResponse(event);
  }

  /** The log as the caller may read it, newest first. */
  async list(query: EventQuery, principal: Principal): Promise<Page<EventResponse>> {
    const select = this.events.createQueryBuilder('e').orderBy('e.id', 'DESC');
    select.limit(query.limit + 1);
    const { ownerId, topics } = viewerOf(principal);
    select.where(reachesSql('CAST(:ownerId AS text)', 'e.owner_id'), { ownerId });
    if (topics) whereMatches(select, topics);
    if (query.type !== undefined) whereMatches(select, [query.type]);
    if (query.subject !== undefined) select.andWhere('e.subject = :subject', query);
    if (query.cursor !== undefined) {
      select.andWhere('e.id < :cursor', { cursor: decodeCursor(query.cursor) });
    }
    // By id, which holds the time of acceptance, so that an index serves it.
    if (query.since) select.andWhere('e.id >= :since', { since: firstId(query.since) });
    if (query.until) select.andWhere('e.id < :until', { until: firstId(query.until) });
    return page((await select.getMany()).map(toEventResponse), query.limit);
  }

  private prepare(event: PublishEvent, ownerId: string | null, field?: string): PreparedEvent {
    const eventType = this.eventTypes.get(event.type);
    return prepared(event, { id: newId('evt'), ownerId, eventType, field });
  }

  /** First what can fail: either all events are accepted, or none leaves. */
  private async accept(
    events: readonly PreparedEvent[],
    { manager }: PublishOptions,
  ): Promise<void> {
    const transient = events.filter((event) => event.transient);
    if (manager) {
      const [first] = transient;
      if (first) throw notDurable('type', first, 'cannot be part of a transaction');
      return this.store.appendWithin(manager, events);
    }
    const durable = transient.length === 0 ? events : events.filter((event) => !event.transient);
    if (durable.length > 0) await this.store.append({ events: durable });
    this.transientEvents.send(transient);
  }

  /** @returns the ids under which the same request was accepted before, if it was */
  private async acceptOnce(
    events: readonly PreparedEvent[],
    request: unknown,
    principal: Principal,
    key: string | undefined,
  ): Promise<string[] | undefined> {
    if (key === undefined) {
      await this.accept(events, {});
      return undefined;
    }
    // What is kept nowhere is not recognized the next time, and would be published once more.
    const transient = events.find((event) => event.transient);
    if (transient) throw notDurable('Idempotency-Key', transient, 'takes no key');
    const requestHash = createHash('sha256').update(JSON.stringify(request)).digest('hex');
    const idempotency = { ownerId: principal.ownerId, key, requestHash };
    const isNew = await this.oneAtATime(`${key} ${principal.ownerId}`, () =>
      this.store.append({ events, idempotency }),
    );
    if (isNew) return undefined;
    const earlier = await this.store.findEarlier(principal.ownerId, key);
    // Its lifetime ended between the two statements: then the request is new after all.
    if (!earlier) return this.acceptOnce(events, request, principal, key);
    if (earlier.requestHash !== requestHash) throw keyReused();
    return earlier.eventIds;
  }

  /** The same key twice in one statement would fail it for everybody; and one of them can only lose. */
  private async oneAtATime<T>(name: string, run: () => Promise<T>): Promise<T> {
    while (this.underWay.has(name)) await this.underWay.get(name)?.catch(() => undefined);
    const running = run();
    this.underWay.set(name, running);
    try {
      return await running;
    } finally {
      this.underWay.delete(name);
    }
  }
}

const firstId = (time: Date): string => `evt_${firstSuffixAt(time.getTime())}`;

const keyReused = (): AppError =>
  new AppError(
    'conflict',
    'idempotency_key_reused',
    'This Idempotency-Key was used for another request.',
    [{ field: 'Idempotency-Key', message: 'was used for another request' }],
  );

const notDurable = (field: string, { type }: PreparedEvent, what: string): InvalidInputError =>
  InvalidInputError.at(field, `${type} is not durable: such an event ${what}`);

/** @param earlierId set: it was accepted before, under this id */
const published = (
  { id, transient }: PreparedEvent,
  event: PublishEvent,
  earlierId?: string,
): PublishedEvent => ({
  id: earlierId ?? id,
  type: event.type,
  timestamp: timestampOf(event, earlierId ?? id),
  duplicate: earlierId !== undefined,
  ...(transient && { durable: false as const }),
});

/** @param earlierIds set: they were accepted before, under these ids */
function publishedBatch(events: readonly PreparedEvent[], earlierIds?: string[]): PublishedBatch {
  const transientIds = events.filter(({ transient }) => transient).map(({ id }) => id);
  return {
    ids: earlierIds ?? events.map(({ id }) => id),
    accepted: events.length,
    duplicate: earlierIds !== undefined,
    ...(transientIds.length > 0 && { transientIds }),
  };
}

function parsed<Schema extends typeof PublishEvent | typeof PublishBatch>(
  schema: Schema,
  input: unknown,
): Schema['_zod']['output'] {
  const result = schema.safeParse(input);
  if (!result.success) throw new InvalidInputError(fieldErrors(result.error.issues));
  return result.data;
}

let parameterCount = 0;

function whereMatches(select: SelectQueryBuilder<EventEntity>, patterns: readonly string[]): void {
  const parameters = Object.fromEntries(
    patterns.map((pattern) => [`pattern${parameterCount++}`, pattern]),
  );
  const alternatives = Object.keys(parameters).map((name) => matchesSql(`:${name}`, 'e.type'));
  select.andWhere(`(${alternatives.join(' OR ') || 'false'})`, parameters);
}

import { createHash } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { ownerListed, type Principal, viewerOf } from '../auth/principal.js';
import { AppError, InvalidInputError, NotFoundError } from '../shared/app-error.js';
import { isId, newId } from '../shared/ids.js';
import { decodeCursor, type Page, page } from '../shared/pagination.js';
import { fieldErrors } from '../shared/field-errors.js';
import { itemTexts, memberText } from '../shared/json-text.js';
import { Turns } from '../shared/turns.timer.js';
import { maySee } from '../shared/visibility.js';
import { Clock } from '../database/clock.service.js';
import { EventTypeCache } from '../event-types/event-type-cache.service.js';
import type { SystemEvent } from '../system-events/system-events.service.js';
import { EventLogStore } from './event-log.store.js';
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
import { EventPublisher } from './publisher.service.js';
import { TransientEvents } from './transient.service.js';

/** What another module of the application may add when it publishes. */
export interface PublishOptions {
  /**
   * The caller's own TypeORM transaction: the event becomes part of it and is delivered if it commits,
   * never if it rolls back. Absent: the event is committed by itself before the promise settles.
   */
  manager?: EntityManager;
}

/** A request to publish. */
export interface PublishRequest {
  principal: Principal;
  /** The key under which the same request is accepted once. */
  key: string | undefined;
  /** The body as JSON text: `data` is delivered as it is written there. */
  text: string;
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
  /** Publications under a key that have not settled; the next with the same key waits for them. */
  private readonly unsettled = new Map<string, Promise<unknown>>();

  constructor(
    private readonly log: EventLogStore,
    private readonly publisher: EventPublisher,
    private readonly transientEvents: TransientEvents,
    private readonly eventTypes: EventTypeCache,
    private readonly clock: Clock,
  ) {}

  /**
   * Publishes one event on behalf of another module. Without `ownerId` it is public.
   * @throws InvalidInputError naming the field; also for data that does not fit the schema of its
   * type, and for a type that is not durable within a transaction: it could not be rolled back
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
      this.prepare(event, event.ownerId ?? null, { field: `events[${index}]` }),
    );
    await this.accept(ready, options);
    return publishedBatch(ready);
  }

  /** Publishes system events. Apart from {@link publish}, because their owner may be the operator. */
  async publishSystemEvents(events: readonly SystemEvent[]): Promise<void> {
    const ready = events.map(({ ownerId, ...event }) =>
      prepared(event, { id: this.newId(), ownerId, eventType: undefined }),
    );
    await this.accept(ready, {});
  }

  /** Publishes for a client; the same key and content give the same answer again. */
  async publishFor(
    event: PublishEvent,
    { principal, key, text }: PublishRequest,
  ): Promise<PublishedEvent> {
    const ready = this.prepare(event, ownerOf(event, principal), {
      dataText: memberText(text, 'data'),
    });
    const earlier = await this.acceptOnce([ready], event, principal, key);
    return published(ready, event, earlier?.[0]);
  }

  /** {@link publishFor} for 1 to 1000 events, all or none. */
  async publishBatchFor(
    { events }: PublishBatch,
    { principal, key, text }: PublishRequest,
  ): Promise<PublishedBatch> {
    const ready: PreparedEvent[] = [];
    const texts = itemTexts(text, 'events');
    const turns = new Turns();
    for (const [index, event] of events.entries()) {
      const field = `events[${index}]`;
      const dataText = memberText(texts.next().value ?? '', 'data');
      ready.push(this.prepare(event, ownerOf(event, principal, field), { field, dataText }));
      const { pause } = turns;
      if (pause) await pause;
    }
    const earlier = await this.acceptOnce(ready, events, principal, key);
    return publishedBatch(ready, earlier);
  }

  /** @throws NotFoundError unless the caller may see the event, which retention may have dropped */
  async get(id: string, principal: Principal): Promise<EventResponse> {
    const event = isId('evt', id) ? await this.log.find(id) : null;
    if (!event || !maySee(viewerOf(principal), event)) throw new NotFoundError('event', id);
    return toEventResponse(event);
  }

  /** The events that the caller may see, newest first; those of a named owner without public ones. */
  async list(query: EventQuery, principal: Principal): Promise<Page<EventResponse>> {
    const cursor = query.cursor === undefined ? undefined : decodeCursor(query.cursor);
    const named = query.tenant ?? query.ownerId;
    const ownerId = named === undefined ? undefined : ownerListed(principal, 'events:read', query);
    const more = { ...query, ownerId, limit: query.limit + 1 };
    const events = await this.log.list(viewerOf(principal), more, cursor);
    return page(events.map(toEventResponse), query.limit);
  }

  private prepare(
    event: PublishEvent,
    ownerId: string | null,
    source: { field?: string; dataText?: string | undefined } = {},
  ): PreparedEvent {
    const eventType = this.eventTypes.get(event.type);
    return prepared(event, { id: this.newId(), ownerId, eventType, ...source });
  }

  private newId(): string {
    return newId('evt', this.clock.nowMs());
  }

  /** First what can fail: either all events are accepted, or none is sent. */
  private async accept(
    events: readonly PreparedEvent[],
    { manager }: PublishOptions,
  ): Promise<void> {
    const transient = events.filter((event) => event.transient);
    if (manager) {
      const [first] = transient;
      if (first) throw notDurable('type', first, 'cannot be part of a transaction');
      return this.publisher.publishWithin(manager, events);
    }
    const durable = transient.length === 0 ? events : events.filter((event) => !event.transient);
    if (durable.length > 0) await this.publisher.publish({ events: durable });
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
    // A transient event is stored nowhere, so a repeated request would publish it again.
    const transient = events.find((event) => event.transient);
    if (transient) throw notDurable('Idempotency-Key', transient, 'takes no key');
    const requestHash = createHash('sha256').update(JSON.stringify(request)).digest('hex');
    const idempotency = { ownerId: principal.ownerId, key, requestHash };
    const isNew = await this.oneAtATime(`${key} ${principal.ownerId}`, () =>
      this.publisher.publish({ events, idempotency }),
    );
    if (isNew) return undefined;
    const earlier = await this.log.findEarlier(principal.ownerId, key);
    // The key expired between the two statements: then the request is new after all.
    if (!earlier) return this.acceptOnce(events, request, principal, key);
    if (earlier.requestHash !== requestHash) throw keyReused();
    return earlier.eventIds;
  }

  /** The same key twice in one statement would fail the whole group commit. */
  private async oneAtATime<T>(name: string, run: () => Promise<T>): Promise<T> {
    while (this.unsettled.has(name)) await this.unsettled.get(name)?.catch(() => undefined);
    const running = run();
    this.unsettled.set(name, running);
    try {
      return await running;
    } finally {
      this.unsettled.delete(name);
    }
  }
}

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

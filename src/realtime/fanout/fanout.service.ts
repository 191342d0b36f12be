import { performance } from 'node:perf_hooks';
import { Inject, Injectable, Logger } from '@nestjs/common';
import { EventTypeCache } from '../../event-types/event-type-cache.service.js';
import { logFailure } from '../../shared/log-failure.js';
import type { RealtimeEvent } from '../../shared/envelope.js';
import { partitionByAudience } from './audience.js';
import { FrameBatch } from './frame.js';
import { RoomIndex } from './room-index.js';
import { RoutedEvent } from './rooms.js';

/** About ten seconds of a busy log. */
const REMEMBERED_IDS = 100_000;

/**
 * After a flush the next one waits for as long as that took, within these bounds, so that events that
 * come meanwhile share a write: one more write costs ten times the bytes of one more event.
 */
const MIN_PAUSE_MS = 2;
const MAX_PAUSE_MS = 5;

/** Then the event loop runs other tasks. About ten milliseconds. */
const CONNECTIONS_PER_TURN = 1_000;

/** More than that is sent at once, however many connections there are. */
const MAX_WAITING_LENGTH = 4 * 1024 * 1024;

/** A connection, as the fan-out uses it. */
export interface LiveConnection {
  readonly id: string;
  /** Number of the last live event of this node that it was sent, or that is not for it. */
  position: number;
  /** Sends live events. */
  deliver(batch: FrameBatch): void;
}

/**
 * Sends events to the connections of this node, if it has any: at once when no flush was lately,
 * otherwise together with the events of the next milliseconds, in one write for each connection.
 *
 * A connection sees no difference: anything else that is sent to it, and any change of its topics,
 * first makes it {@link catchUp}. So it is sent the same frames in the same order as if every event
 * were sent when it comes.
 */
@Injectable()
export class FanoutService {
  private readonly logger = new Logger(FanoutService.name);

  /** For the gap filler, which compares what was delivered here with the log. */
  private readonly recent = new RecentIds(REMEMBERED_IDS);

  /** Events that some connection has not been sent yet: first those of the running flush. */
  private readonly waiting: RoutedEvent[] = [];
  private waitingLength = 0;
  /** The number of the last event. */
  private sequence = 0;
  private flushing: Iterator<void> | undefined;
  private timer: NodeJS.Timeout | undefined;
  private notBeforeMs = 0;

  constructor(
    private readonly rooms: RoomIndex<LiveConnection>,
    @Inject(EventTypeCache) private readonly types: Pick<EventTypeCache, 'reaches' | 'channelOf'>,
  ) {}

  /** Whether the event was delivered here lately, with or without subscribers. */
  hasDelivered(eventId: string): boolean {
    return this.recent.has(eventId);
  }

  /** Notes events as delivered that have no subscribers here. */
  markDelivered(eventIds: readonly string[]): void {
    for (const id of eventIds) this.recent.add(id);
  }

  /**
   * Sends each event once to every connection in one of its rooms, within milliseconds. An event that
   * was delivered lately is not sent again: it may come over the bus after the gap filler has found it
   * in the log, or the other way round. Never throws.
   */
  deliver(events: readonly RealtimeEvent[]): void {
    for (const event of events) {
      if (!event.transient) {
        if (this.recent.has(event.id)) continue;
        this.recent.add(event.id);
      }
      if (!this.rooms.isEmpty && this.types.reaches(event.type, 'socket')) this.add(event);
    }
    if (this.waitingLength > MAX_WAITING_LENGTH) this.flushAll();
    else this.flushSoon();
  }

  /** Sends the events that wait to this connection now. */
  catchUp(connection: LiveConnection): void {
    const { position } = connection;
    if (position === this.sequence) return;
    connection.position = this.sequence;
    const missing = this.waiting.filter(
      ({ sequence, rooms }) => sequence > position && this.rooms.has(rooms, connection),
    );
    if (missing.length > 0) connection.deliver(new FrameBatch(missing));
  }

  private add(event: RealtimeEvent): void {
    try {
      const routed = new RoutedEvent(event, this.sequence + 1, this.types.channelOf(event.type));
      if (this.rooms.occupied(routed.rooms).length === 0) return;
      requireEnvelope(event);
      this.sequence++;
      this.waiting.push(routed);
      this.waitingLength += routed.length;
    } catch (error) {
      const fields = { event: event.id };
      logFailure(this.logger, 'error', 'an event cannot be sent to clients', error, fields);
    }
  }

  private flushSoon(): void {
    if (this.flushing || this.timer || this.waiting.length === 0) return;
    const pauseMs = this.notBeforeMs - performance.now();
    if (pauseMs <= 0) this.flush();
    else this.timer = setTimeout(() => this.flush(), pauseMs);
  }

  private flush(): void {
    this.begin();
    this.takeTurn();
  }

  private flushAll(): void {
    while (this.waiting.length > 0) {
      const flushing = this.flushing ?? this.begin();
      while (!flushing.next().done);
    }
  }

  private takeTurn(): void {
    for (let count = 0; count < CONNECTIONS_PER_TURN; count++) {
      // Also when flushAll has sent all of it between two turns.
      if (!this.flushing || this.flushing.next().done) return this.flushSoon();
    }
    setImmediate(() => this.takeTurn());
  }

  private begin(): Iterator<void> {
    clearTimeout(this.timer);
    this.timer = undefined;
    return (this.flushing = this.flushOf([...this.waiting], performance.now()));
  }

  /** One step for each connection. */
  private *flushOf(batch: readonly RoutedEvent[], startedMs: number): Generator<void, void> {
    const first = batch[0]!.sequence;
    const last = batch.at(-1)!.sequence;
    for (const { events, members } of partitionByAudience(batch, this.rooms)) {
      const frames = new FrameBatch(events);
      for (const connection of members) {
        this.sendTo(connection, frames, { first, last });
        yield;
      }
    }
    this.waiting.splice(0, batch.length);
    for (const { length } of batch) this.waitingLength -= length;
    this.flushing = undefined;
    const nowMs = performance.now();
    this.notBeforeMs = nowMs + Math.min(Math.max(nowMs - startedMs, MIN_PAUSE_MS), MAX_PAUSE_MS);
  }

  private sendTo(
    connection: LiveConnection,
    frames: FrameBatch,
    { first, last }: { first: number; last: number },
  ): void {
    try {
      // It has caught up with the first events, or with all, since the flush began.
      if (connection.position >= first) return this.catchUp(connection);
      connection.position = last;
      connection.deliver(frames);
    } catch (error) {
      const fields = { connection: connection.id };
      logFailure(this.logger, 'error', 'events cannot be sent to a connection', error, fields);
    }
  }
}

/**
 * The text of the envelope becomes part of frames unchanged. Text that is no envelope, or has more
 * than one line, would break them, and other programs may be able to publish in our Redis.
 */
function requireEnvelope({ id, body }: RealtimeEvent): void {
  const envelope: unknown = JSON.parse(body);
  const isEnvelope =
    typeof envelope === 'object' && envelope !== null && 'id' in envelope && envelope.id === id;
  if (!isEnvelope || LINE_BREAK.test(body) || LINE_BREAK.test(id)) {
    throw new Error('its body is not its envelope on one line');
  }
}

const LINE_BREAK = /[\n\r]/;

/** The latest ids, in two generations: at least `size` of them, at most twice as many. */
class RecentIds {
  private present = new Set<string>();
  private past = new Set<string>();

  constructor(private readonly size: number) {}

  add(id: string): void {
    if (this.present.size >= this.size) {
      this.past = this.present;
      this.present = new Set();
    }
    this.present.add(id);
  }

  has(id: string): boolean {
    return this.present.has(id) || this.past.has(id);
  }
}

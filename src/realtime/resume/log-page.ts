import { EncodedEvent, FrameBatch } from '../fanout/frame.js';
import type { RealtimeEvent } from '../../shared/envelope.js';
import {
  isMissed,
  type ResumePoint,
  type LoggedPosition,
  type LogPosition,
} from './resume-point.js';

/** An event with its position in the log. */
export type LoggedEvent = RealtimeEvent & LoggedPosition;

/**
 * What may be sent before the client's backlog is checked. Several of these are far below the limit of
 * a backlog.
 */
const PART_LENGTH = 512 * 1024;

interface PageEntry {
  position: LoggedPosition;
  event: EncodedEvent;
}

/**
 * A page of the log as it is sent to clients that resume at nearly the same position. What they have
 * missed in common is encoded once.
 */
export class LogPageReader {
  private readonly entries: readonly PageEntry[];
  /** By {@link keyOf} the resume point. */
  private readonly parts = new Map<string, readonly FrameBatch[]>();

  /**
   * @param next where the following page begins; undefined: this is the end of the log
   * @param channelOf the channel of a type
   */
  constructor(
    events: readonly LoggedEvent[],
    readonly next: LogPosition | undefined,
    channelOf: (type: string) => string | undefined,
  ) {
    this.entries = events.map((event) => ({
      position: event,
      event: new EncodedEvent(event, channelOf(event.type)),
    }));
  }

  /** What a client has missed that resumes there, in order. */
  missedSince(point: ResumePoint): readonly FrameBatch[] {
    const key = keyOf(point);
    let parts = this.parts.get(key);
    if (!parts) {
      const missed = this.entries.filter(({ position }) => isMissed(point, position));
      parts = inParts(missed.map(({ event }) => event)).map((events) => new FrameBatch(events));
      this.parts.set(key, parts);
    }
    return parts;
  }
}

/** Points with the same key have missed the same. */
const keyOf = ({ position, snapshot }: ResumePoint): string => `${position.id} ${snapshot.text}`;

export function inParts(events: readonly EncodedEvent[]): EncodedEvent[][] {
  const parts: EncodedEvent[][] = [];
  let free = 0;
  for (const event of events) {
    if (free <= 0) {
      parts.push([]);
      free = PART_LENGTH;
    }
    parts.at(-1)!.push(event);
    free -= event.length;
  }
  return parts;
}

import { FrameBatch } from '../fanout/frame-batch.js';
import { EncodedEvent } from '../fanout/encoded-event.js';
import type { RealtimeEvent } from '../../shared/realtime-event.js';
import {
  isMissed,
  type ResumePoint,
  type LoggedPosition,
  type LogPosition,
} from './resume-point.js';

/** An event with its place in the log. */
export type LoggedEvent = RealtimeEvent & LoggedPosition;

/**
 * What may be sent before it is looked at how much of it the client has read. Some of these are still
 * far below what may wait for a client at most.
 */
const PART_LENGTH = 512 * 1024;

interface PlacedEvent {
  place: LoggedPosition;
  framed: EncodedEvent;
}

/**
 * A part of the log as it is sent to clients that came back at nearly the same place. What they all
 * have missed is put together and encoded once for all of them.
 */
export class LogPageReader {
  private readonly events: readonly PlacedEvent[];
  /** By the id of the landmark. */
  private readonly parts = new Map<string, readonly FrameBatch[]>();

  /** @param next where the following page begins; undefined: there was nothing more */
  constructor(
    events: readonly LoggedEvent[],
    readonly next: LogPosition | undefined,
  ) {
    this.events = events.map((event) => ({ place: event, framed: new EncodedEvent(event) }));
  }

  /** What somebody has missed who has seen the landmark, in order. */
  missedSince(landmark: ResumePoint): readonly FrameBatch[] {
    const { id } = landmark.position;
    let parts = this.parts.get(id);
    if (!parts) {
      const missed = this.events.filter(({ place }) => isMissed(landmark, place));
      parts = inParts(missed.map(({ framed }) => framed)).map((events) => new FrameBatch(events));
      this.parts.set(id, parts);
    }
    return parts;
  }
}

function inParts(events: readonly EncodedEvent[]): EncodedEvent[][] {
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

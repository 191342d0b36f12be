import type { Encoding, Frame } from './frame.js';
import type { RealtimeEvent } from './realtime-event.js';
import { roomsOfEvent } from './rooms.js';

/** An event on its way to clients. Its rooms and its frames are made once, whoever hears it. */
export class LiveEvent {
  readonly rooms: readonly string[];
  private readonly frames = new Map<Encoding, Frame>();

  /** @param sequence its place among all events of this process */
  constructor(
    private readonly event: RealtimeEvent,
    readonly sequence: number,
  ) {
    this.rooms = roomsOfEvent(event);
  }

  get id(): string {
    return this.event.id;
  }

  /** Bytes, roughly (UTF-16 units). */
  get length(): number {
    return this.event.body.length;
  }

  frame(encoding: Encoding): Frame {
    let frame = this.frames.get(encoding);
    if (!frame) this.frames.set(encoding, (frame = encoding.event(this.event)));
    return frame;
  }
}

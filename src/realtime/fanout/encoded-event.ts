import type { Framed } from './frame-batch.js';
import type { Encoding, Frame } from './frame.js';
import type { RealtimeEvent } from '../../shared/realtime-event.js';

/** An event that clients are sent. Its frames are made once, whoever is sent it. */
export class EncodedEvent implements Framed {
  private readonly frames = new Map<Encoding, Frame>();

  constructor(private readonly event: RealtimeEvent) {}

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

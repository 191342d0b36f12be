import { type Encoding, type Frame, joinedBelow } from './frame.js';

/** What can be sent as a frame, in every transport. */
export interface Framed {
  readonly id: string;
  frame(encoding: Encoding): Frame;
}

/**
 * Pieces stay below this: what is copied to make one should not cost more than the writing that it
 * saves, and the limit of what may wait for a client is looked at between pieces.
 */
const PIECE_BYTES = 128 * 1024;

/** Events that somebody hears in one go, in order. The same bytes serve all who hear the same. */
export class FrameBatch {
  private readonly pieces = new Map<Encoding, readonly Frame[]>();

  constructor(readonly events: readonly Framed[]) {}

  /** All events, in as few pieces as it takes. */
  framesFor(encoding: Encoding): readonly Frame[] {
    let pieces = this.pieces.get(encoding);
    if (!pieces) {
      const frames = this.events.map((event) => event.frame(encoding));
      pieces = joinedBelow(PIECE_BYTES, frames, encoding.separator);
      this.pieces.set(encoding, pieces);
    }
    return pieces;
  }
}

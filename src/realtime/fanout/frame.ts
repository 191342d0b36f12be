import type { Notices } from '../protocol.js';
import type { RealtimeEvent } from '../../shared/realtime-event.js';

/** Something that is ready to be written, to any number of connections of one transport. */
export interface Frame {
  readonly text: string;
  /** What goes to the socket. Shared: never to be changed. */
  readonly bytes: Buffer;
}

/** How a transport writes things. One object per transport, which stands for it. */
export interface Encoding {
  /** What stands between the texts of frames that are written as one. */
  readonly separator: string;
  event(event: RealtimeEvent): Frame;
  notice<Name extends keyof Notices>(name: Name, payload: Notices[Name]): Frame;
  /** Text for people, where the transport can carry it as nothing but text. */
  text?(text: string): Frame;
}

/**
 * The same frames in the same order, put together into pieces of at most so many bytes. A frame that
 * is alone, or larger, stays what it is.
 */
export function joinedBelow(bytes: number, frames: readonly Frame[], separator: string): Frame[] {
  const pieces: Frame[][] = [];
  let free = 0;
  for (const frame of frames) {
    const piece = pieces.at(-1);
    if (piece && frame.bytes.length <= free) piece.push(frame);
    else {
      pieces.push([frame]);
      free = bytes;
    }
    free -= frame.bytes.length;
  }
  return pieces.map((piece) => (piece.length === 1 ? piece[0]! : joined(piece, separator)));
}

/** Their text is seldom needed. */
const joined = (frames: readonly Frame[], separator: string): Frame => ({
  bytes: Buffer.concat(frames.map((frame) => frame.bytes)),
  get text() {
    return frames.map((frame) => frame.text).join(separator);
  },
});

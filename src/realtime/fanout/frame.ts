import type { Notices } from '../protocol.js';
import { type RealtimeEvent, withOwner } from '../../shared/envelope.js';

/**
 * A text message as one frame from a server (RFC 6455, 5.2): final, unmasked, uncompressed. Made
 * once, it can be written to any number of sockets.
 */
export function textFrame(text: string): Buffer {
  const length = Buffer.byteLength(text);
  const headerLength = length < 126 ? 2 : length < 0x10000 ? 4 : 10;
  const frame = Buffer.allocUnsafe(headerLength + length);
  frame[0] = FINAL_TEXT;
  if (headerLength === 2) frame[1] = length;
  else if (headerLength === 4) {
    frame[1] = LENGTH_16;
    frame.writeUInt16BE(length, 2);
  } else {
    frame[1] = LENGTH_64;
    frame.writeBigUInt64BE(BigInt(length), 2);
  }
  frame.write(text, headerLength);
  return frame;
}

const FINAL_TEXT = 0x81;
const LENGTH_16 = 126;
const LENGTH_64 = 127;

/** An empty ping; every WebSocket client responds to it by itself. */
export const PING_FRAME = Buffer.from([0x89, 0x00]);

/** What is written to a connection; the same frame serves all connections of a transport. */
export interface Frame {
  readonly text: string;
  /** What is written to the socket. Shared, so never changed. */
  readonly bytes: Buffer;
}

/** How a transport encodes. One object per transport and {@link Encodings}, which identifies it. */
export interface Encoding {
  /** Stands between the texts of frames that are written as one. */
  readonly separator: string;
  /** @param channel that of its type, for transports that name it */
  event(event: RealtimeEvent, channel?: string): Frame;
  notice<Name extends keyof Notices>(name: Name, payload: Notices[Name]): Frame;
  /** Plain text, where the transport can carry it without an envelope. */
  text?(text: string): Frame;
}

/** How a transport encodes for each kind of connection. */
export interface Encodings {
  /** For connections of an owner. */
  own: Encoding;
  /** For connections that receive the events of all owners: these name their owner. */
  all: Encoding;
}

/** The encodings of a transport for each way in which a client may want its events written. */
export type EncodingsByForm = Readonly<Record<'envelope' | 'data', Encodings>>;

/**
 * @param own how frames are written that are objects
 * @param data how an event is written for clients that want its envelope without a frame around it
 * @param text how texts are written for the others; absent: as notices
 */
export const encodingsByForm = (
  own: Encoding,
  data: Encoding['event'],
  text?: (text: string) => Frame,
): EncodingsByForm => ({
  envelope: encodings(text ? { ...own, text } : own),
  data: encodings({ ...own, event: data }),
});

export const encodings = (own: Encoding): Encodings => ({
  own,
  all: {
    ...own,
    event: (event, channel) =>
      own.event({ ...event, body: withOwner(event.body, event.ownerId) }, channel),
  },
});

/**
 * The same frames in the same order, joined into chunks of at most so many bytes. A single frame, or
 * a larger one, stays as it is.
 */
export function joinedBelow(bytes: number, frames: readonly Frame[], separator: string): Frame[] {
  const chunks: Frame[][] = [];
  let free = 0;
  for (const frame of frames) {
    const chunk = chunks.at(-1);
    if (chunk && frame.bytes.length <= free) chunk.push(frame);
    else {
      chunks.push([frame]);
      free = bytes;
    }
    free -= frame.bytes.length;
  }
  return chunks.map((chunk) => (chunk.length === 1 ? chunk[0]! : joined(chunk, separator)));
}

/** The text is computed when it is needed, which is rare. */
const joined = (frames: readonly Frame[], separator: string): Frame => ({
  bytes: Buffer.concat(frames.map((frame) => frame.bytes)),
  get text() {
    return frames.map((frame) => frame.text).join(separator);
  },
});

/** What can be sent as a frame, in every transport. */
export interface Framed {
  readonly id: string;
  frame(encoding: Encoding): Frame;
}

/** An event whose frames are made once per transport. */
export class EncodedEvent implements Framed {
  private readonly frames = new Map<Encoding, Frame>();

  /** @param channel that of its type */
  constructor(
    private readonly event: RealtimeEvent,
    private readonly channel?: string,
  ) {}

  get id(): string {
    return this.event.id;
  }

  /** Bytes, roughly (UTF-16 units). */
  get length(): number {
    return this.event.body.length;
  }

  frame(encoding: Encoding): Frame {
    let frame = this.frames.get(encoding);
    if (!frame) this.frames.set(encoding, (frame = encoding.event(this.event, this.channel)));
    return frame;
  }
}

/**
 * Copying bytes into a larger chunk would cost more than the writes that it saves; and the limit of a
 * connection's backlog is checked between chunks.
 */
const CHUNK_BYTES = 128 * 1024;

/** Events that go to a connection together, in order. All connections of an audience share the bytes. */
export class FrameBatch {
  private readonly chunks = new Map<Encoding, readonly Frame[]>();

  constructor(readonly events: readonly Framed[]) {}

  /** All events, in as few chunks as possible. */
  framesFor(encoding: Encoding): readonly Frame[] {
    let chunks = this.chunks.get(encoding);
    if (!chunks) {
      const frames = this.events.map((event) => event.frame(encoding));
      chunks = joinedBelow(CHUNK_BYTES, frames, encoding.separator);
      this.chunks.set(encoding, chunks);
    }
    return chunks;
  }
}

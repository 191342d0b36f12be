import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { type Admission, Connection } from '../../connections/realtime.connection.js';
import { encodingsByForm, type EncodingsByForm, type Frame } from '../../fanout/frame.js';
import type { CloseReason } from '../../close-codes.js';
import { NOTICES, type Notices } from '../../protocol.js';
import type { RealtimeEvent } from '../../../shared/envelope.js';

export const EVENT_STREAM_HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store',
  // A proxy that buffers responses would buffer this one for ever.
  'x-accel-buffering': 'no',
  connection: 'close',
};

/** Names that mean something else to a client than an event of this type. */
const TAKEN: ReadonlySet<string> = new Set([...Object.keys(NOTICES), 'open']);

/** How long an `EventSource` waits before it connects again. */
const RETRY_MS = 2_000;
/** It repeats this wait until the server is there again. */
const MIN_RETRY_MS = 500;

/**
 * Server-sent events (WHATWG HTML, 9.2). The names are those of the other transports, whatever the
 * type of an event is: `EventSource` has events of its own, such as `open`, which a type could be
 * confused with. A client may choose that other types are names. Only events have an id, which a
 * client sends back as `Last-Event-ID`.
 */
const framing = (
  framed: (text: string) => Buffer,
): { encodings: EncodingsByForm; heartbeat: Frame } => {
  const block = (fields: readonly string[]): Frame => {
    const text = `${fields.join('\n')}\n\n`;
    return { text, bytes: framed(text) };
  };
  // Without an id, the client keeps the last id that it can resume after.
  const event = (name: string, { id, body, transient }: RealtimeEvent): Frame =>
    block([...(transient ? [] : [`id: ${id}`]), `event: ${name}`, `data: ${body}`]);
  return {
    encodings: encodingsByForm(
      {
        separator: '',
        event: (given) => event('event', given),
        notice: (name, payload) => block(fieldsOf(name, payload)),
      },
      (given) => event(TAKEN.has(given.type) ? 'event' : given.type, given),
    ),
    heartbeat: block([':']),
  };
};

/** Each frame is a chunk of its own (RFC 9112, 7.1), with which a client is given it at once. */
const CHUNKED = framing((text) =>
  Buffer.from(`${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`),
);
/** HTTP/1.0, which many proxies still speak, has no chunks: the body ends with the connection. */
const PLAIN = framing((text) => Buffer.from(text));

/**
 * The last event id of a client whose connection another one has replaced. Its `EventSource` sends it
 * when it comes back, and is refused for good: the two would replace each other for ever.
 */
export const REPLACED_ID = 'replaced';

/** A notice as the fields of a block. */
function fieldsOf<Name extends keyof Notices>(name: Name, payload: Notices[Name]): string[] {
  const position = positionIn(name, payload);
  const retry = retryOf(name, payload);
  return [
    ...(position === undefined ? [] : [`id: ${position}`]),
    ...(retry === undefined ? [] : [`retry: ${retry}`]),
    `event: ${name}`,
    `data: ${JSON.stringify(payload)}`,
  ];
}

/** A whole stream, for a client that is refused for now. */
export function refusalBlock(error: Notices['error']): string {
  const retryMs = Math.round(RETRY_MS * (0.5 + Math.random()));
  return `retry: ${retryMs}\n${fieldsOf('error', error).join('\n')}\n\n`;
}

/** The id that a notice sets. After missed events the client resumes after the last of them, which may be newer. */
function positionIn(name: string, payload: object): string | undefined {
  if ('code' in payload && payload.code === ('replaced' satisfies CloseReason)) return REPLACED_ID;
  const isLatest = name === 'connected' || ('replayed' in payload && payload.replayed === 0);
  return isLatest && 'position' in payload ? String(payload.position) : undefined;
}

/** `EventSource` itself waits for as long as the `retry` field says, before every later try, too. */
function retryOf(name: string, payload: object): number | undefined {
  if (name === 'connected') return RETRY_MS;
  return 'reconnectInMs' in payload ? MIN_RETRY_MS + Number(payload.reconnectInMs) : undefined;
}

/**
 * A client that only receives, over a response that lasts as long as its connection. Frames are written
 * to the socket, with the framing of chunks in them. Node's response would buffer them until the end of
 * the turn, and a burst would look like a slow consumer.
 */
export class EventStreamConnection extends Connection {
  override readonly transport = 'event-stream';
  private readonly heartbeatFrame: Frame;

  /** @param socket that of the response, whose head has been written */
  constructor(
    admission: Admission,
    private readonly response: ServerResponse,
    private readonly socket: Socket,
    override readonly heartbeatMs: number,
  ) {
    const { encodings: own, heartbeat } = response.chunkedEncoding ? CHUNKED : PLAIN;
    super(admission, own[admission.options?.frames ?? 'envelope']);
    this.heartbeatFrame = heartbeat;
    response.once('close', () => this.ended());
    // `close` comes next.
    response.on('error', () => undefined);
  }

  override get backlogBytes(): number {
    return this.socket.writableLength;
  }

  /** Shows the client that the connection is alive. */
  heartbeat(): void {
    this.send(this.heartbeatFrame);
  }

  protected override write({ bytes }: Frame): void {
    if (this.socket.writable) this.socket.write(bytes);
  }

  protected override end(): void {
    this.response.end();
  }

  protected override destroy(): void {
    this.response.destroy();
  }
}

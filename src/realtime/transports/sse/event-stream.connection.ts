import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { type Admission, Connection } from '../../connections/realtime.connection.js';
import { encodings, type Frame } from '../../fanout/frame.js';

/** How long an `EventSource` waits before it connects again. */
const RETRY_MS = 2_000;

/**
 * Server-sent events (WHATWG HTML, 9.2). The names are those of the other transports, whatever the
 * type of an event is: `EventSource` has events of its own, such as `open`, which a type could be
 * confused with. Only events have an id, which a client sends back as `Last-Event-ID`.
 */
const EVENT_STREAM_ENCODINGS = encodings({
  separator: '',
  // Without an id, the client keeps the last id that it can resume after.
  event: ({ id, body, transient }) =>
    lines(...(transient ? [] : [`id: ${id}`]), 'event: event', `data: ${body}`),
  notice: (name, payload) => {
    const retry = retryOf(name, payload);
    return lines(
      ...(retry === undefined ? [] : [`retry: ${retry}`]),
      `event: ${name}`,
      `data: ${JSON.stringify(payload)}`,
    );
  },
});

/** A comment, which shows that the connection is alive and keeps proxies from closing it. */
const HEARTBEAT: Frame = lines(':');

/** `EventSource` itself waits for as long as the `retry` field says. */
function retryOf(name: string, payload: object): number | undefined {
  if (name === 'connected') return RETRY_MS;
  return 'reconnectInMs' in payload ? Number(payload.reconnectInMs) : undefined;
}

function lines(...fields: string[]): Frame {
  const text = `${fields.join('\n')}\n\n`;
  return { text, bytes: Buffer.from(text) };
}

/**
 * A client that only receives, over a response that lasts as long as its connection. The body is
 * neither chunked nor has a length, so frames are written to the socket as they are. Node's response
 * would buffer them until the end of the turn, and a burst would look like a slow consumer.
 */
export class EventStreamConnection extends Connection {
  override readonly transport = 'event-stream';

  /** @param socket that of the response, whose head has been written */
  constructor(
    admission: Admission,
    private readonly response: ServerResponse,
    private readonly socket: Socket,
    override readonly heartbeatMs: number,
  ) {
    super(admission, EVENT_STREAM_ENCODINGS);
    response.once('close', () => this.ended());
    // `close` comes next.
    response.on('error', () => undefined);
  }

  override get backlogBytes(): number {
    return this.socket.writableLength;
  }

  /** Shows the client that the connection is alive. */
  heartbeat(): void {
    this.send(HEARTBEAT);
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

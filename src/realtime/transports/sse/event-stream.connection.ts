import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Frame } from '../../fanout/frame.js';
import { type Admission, Connection } from '../../connections/realtime.connection.js';
import { EVENT_STREAM_ENCODING, HEARTBEAT } from './event-stream-encoding.js';

/**
 * A client that only listens, to a response that ends with its connection. Its body is neither
 * chunked nor counted, so frames go to the socket as they are; Node's response would hold all of them
 * back until the end of the turn, and a burst would look like a client that does not read.
 */
export class EventStreamConnection extends Connection {
  override readonly transport = 'event-stream';
  override readonly encoding = EVENT_STREAM_ENCODING;

  /** @param socket that of the response, whose head has been written */
  constructor(
    admission: Admission,
    private readonly response: ServerResponse,
    private readonly socket: Socket,
    override readonly heartbeatMs: number,
  ) {
    super(admission);
    response.once('close', () => this.ended());
    // `close` comes next.
    response.on('error', () => undefined);
  }

  override get backlogBytes(): number {
    return this.socket.writableLength;
  }

  /** Shows that the stream is still there. */
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

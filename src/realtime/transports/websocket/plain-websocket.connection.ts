import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import { CLOSE_REASONS, type CloseReason } from '../../close-codes.js';
import type { Frame } from '../../fanout/frame.js';
import { type Admission, Connection } from '../../connections/realtime.connection.js';
import { HEARTBEAT, WEBSOCKET_ENCODING } from './websocket-encoding.js';

/**
 * A client without Socket.IO. Frames are written to the socket below the library: they are whole and
 * uncompressed, as everything that the library writes itself, so the two can take turns.
 */
export class PlainWebSocketConnection extends Connection {
  override readonly transport = 'websocket';
  override readonly encoding = WEBSOCKET_ENCODING;
  private hasAnswered = true;

  constructor(
    admission: Admission,
    private readonly webSocket: WebSocket,
    private readonly socket: Duplex,
    override readonly heartbeatMs: number,
  ) {
    super(admission);
    webSocket.on('pong', () => this.markAlive());
    webSocket.once('close', () => this.ended());
    // What is wrong has been told with the closing frame, and `close` comes next.
    webSocket.on('error', () => undefined);
  }

  override get backlogBytes(): number {
    return this.socket.writableLength;
  }

  /** The client has shown that it is there; any frame does. */
  markAlive(): void {
    this.hasAnswered = true;
  }

  /** Asks whether the client is there, and ends the connection if it has not answered last time. */
  heartbeat(): void {
    if (!this.hasAnswered) return this.close('no_answer');
    this.hasAnswered = false;
    this.send(HEARTBEAT);
  }

  protected override write({ bytes }: Frame): void {
    if (this.socket.writable) this.socket.write(bytes);
  }

  protected override end(reason: CloseReason): void {
    this.webSocket.close(CLOSE_REASONS[reason].code, reason);
  }

  protected override destroy(): void {
    this.webSocket.terminate();
  }
}

import type { Duplex } from 'node:stream';
import { WebSocket } from 'ws';
import { type CloseReason, mayReconnect } from '../../close-codes.js';
import type { Frame } from '../../fanout/frame.js';
import { Connection } from '../../connections/realtime.connection.js';
import { SOCKET_IO_ENCODING } from './socket-io-encoding.js';
import type { Answer } from '../../realtime-events.js';
import { HEARTBEAT_MS, type RealtimeSocket } from './socket-io-types.js';

/** What Engine.IO keeps to itself. */
interface EngineInside {
  /** Packets that wait for the transport. */
  readonly writeBuffer: readonly unknown[];
  readonly transport: {
    /** Undefined while it is polling. */
    readonly socket?: WebSocketInside;
  };
}

interface WebSocketInside {
  readonly readyState: number;
  readonly bufferedAmount: number;
  terminate(): void;
  /** That of the operating system. */
  readonly _socket: Duplex;
}

export type Acknowledge = (answer: Answer) => void;

/**
 * A client of Socket.IO. Frames go to the socket below Engine.IO, which writes whole uncompressed
 * frames there too, so the two can take turns. While it is polling, or still has something to write,
 * it takes the frame itself: the text for an answer of polling, the bytes for a WebSocket.
 */
export class SocketIoConnection extends Connection {
  override readonly transport = 'socket.io';
  override readonly encoding = SOCKET_IO_ENCODING;
  override readonly heartbeatMs = HEARTBEAT_MS;
  /** In Engine.IO's own buffer, which waits for the transport. */
  private waitingBytes = 0;

  constructor(private readonly socket: RealtimeSocket) {
    super(socket.data.admission);
    socket.conn.on('flush', () => (this.waitingBytes = 0));
    socket.once('disconnect', () => this.ended());
  }

  override get backlogBytes(): number {
    return this.waitingBytes + (this.webSocket?.bufferedAmount ?? 0);
  }

  /** Answers a request, after what was sent before. */
  acknowledge(ack: Acknowledge, answer: Answer): void {
    this.catchUp();
    ack(answer);
  }

  protected override write(frame: Frame): void {
    const { webSocket } = this;
    if (!webSocket || !this.isFree(webSocket)) return this.writeInTurn(frame);
    const { _socket: socket } = webSocket;
    socket.write(frame.bytes);
  }

  /** Whether what is written now comes after everything that was sent, and may still be written. */
  private isFree({ readyState, _socket: socket }: WebSocketInside): boolean {
    return (
      this.socket.conn.readyState === 'open' &&
      this.engine.writeBuffer.length === 0 &&
      readyState === WebSocket.OPEN &&
      socket.writable
    );
  }

  private writeInTurn({ text, bytes }: Frame): void {
    this.waitingBytes += bytes.length;
    const options = { compress: false, wsPreEncodedFrame: [bytes] };
    this.socket.conn.write(text, options);
  }

  /**
   * Socket.IO's client comes back by itself after the transport was closed, and does not after it
   * was told to disconnect.
   */
  protected override end(reason: CloseReason): void {
    if (mayReconnect(reason)) this.socket.conn.close();
    else this.socket.disconnect(true);
  }

  protected override destroy(): void {
    this.webSocket?.terminate();
    this.socket.conn.close(true);
  }

  private get webSocket(): WebSocketInside | undefined {
    return this.engine.transport.socket;
  }

  private get engine(): EngineInside {
    return this.socket.conn as unknown as EngineInside;
  }
}

import type { Duplex } from 'node:stream';
import { WebSocket } from 'ws';
import { type CloseReason, mayReconnect } from '../../close-codes.js';
import { Connection } from '../../connections/realtime.connection.js';
import {
  type Encoding,
  encodingsByForm,
  type EncodingsByForm,
  type Frame,
  textFrame,
} from '../../fanout/frame.js';
import { type Answer, NOTICES } from '../../protocol.js';
import { HEARTBEAT_MS, type RealtimeSocket } from './socket-io-types.js';

/** A `MESSAGE` of Engine.IO that carries an `EVENT` of Socket.IO in the main namespace. */
const MESSAGE = '4';
const EVENT = '2';

/** Names that mean something else to a client than an event of this type. */
const TAKEN: ReadonlySet<string> = new Set([
  ...Object.keys(NOTICES),
  // Socket.IO's own.
  'connect',
  'connect_error',
  'disconnect',
  'disconnecting',
  'newListener',
  'removeListener',
]);

/** Packets as Socket.IO's own encoder writes them. The text of an envelope is inserted unchanged. */
const SOCKET_IO_ENCODING: Encoding = {
  // In an answer of polling, this ends a message and begins the next one.
  separator: `\x1e${MESSAGE}`,
  event: ({ body }) => packet('event', body),
  notice: (name, payload) => packet(name, JSON.stringify(payload)),
};
const SOCKET_IO_ENCODINGS = encodingsByForm(SOCKET_IO_ENCODING, ({ type, body }) =>
  packet(TAKEN.has(type) ? 'event' : type, body),
);

/** For clients that ask for the channel of each event. */
const WITH_CHANNELS: EncodingsByForm = encodingsByForm(
  {
    ...SOCKET_IO_ENCODING,
    event: ({ body }, channel) => packet('event', withChannel(body, channel)),
  },
  ({ type, body }, channel) => packet(TAKEN.has(type) ? 'event' : type, withChannel(body, channel)),
);

/** As a second argument. */
const withChannel = (body: string, channel: string | undefined): string =>
  channel === undefined ? body : `${body},{"channel":"${channel}"}`;

function packet(name: string, payload: string): Frame {
  const text = `${EVENT}["${name}",${payload}]`;
  return { text, bytes: textFrame(MESSAGE + text) };
}

/** Parts of Engine.IO that its types do not show. */
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
  /** The TCP or TLS socket. */
  readonly _socket: Duplex;
}

export type Acknowledge = (answer: Answer) => void;

/**
 * A client of Socket.IO. Frames are written to the socket below Engine.IO, which writes whole
 * uncompressed frames there too, so the two do not mix. While the client is polling, or Engine.IO
 * has unwritten packets, Engine.IO gets the frame: the text for polling, the bytes for a WebSocket.
 */
export class SocketIoConnection extends Connection {
  override readonly transport = 'socket.io';
  override readonly heartbeatMs = HEARTBEAT_MS;
  /** Bytes in Engine.IO's own buffer, which waits for the transport. */
  private waitingBytes = 0;

  constructor(private readonly socket: RealtimeSocket) {
    const { admission, namesChannels } = socket.data;
    const encodings = namesChannels ? WITH_CHANNELS : SOCKET_IO_ENCODINGS;
    super(admission, encodings[admission.options?.frames ?? 'envelope']);
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

  /** Whether a write to the socket now keeps the order of frames, and the socket is open. */
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
   * Socket.IO's client comes back by itself after the transport was closed, and does not after a
   * disconnect packet.
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

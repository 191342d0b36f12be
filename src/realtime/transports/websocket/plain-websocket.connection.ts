import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import { CLOSE_REASONS, type CloseReason } from '../../close-codes.js';
import { type Admission, Connection } from '../../connections/realtime.connection.js';
import { encodingsByForm, type Frame, PING_FRAME, textFrame } from '../../fanout/frame.js';
import type { Answer } from '../../protocol.js';
import type { RequestId } from './websocket-message.js';

/**
 * Frames of a plain WebSocket: objects with a `type`. The text of an envelope is inserted unchanged, or is
 * the frame: then `type` is that of the event, which alone has an `id`.
 */
const WEBSOCKET_ENCODINGS = encodingsByForm(
  {
    separator: '',
    event: ({ body }, channel) =>
      textMessage(
        `{"type":"event",${channel === undefined ? '' : `"channel":"${channel}",`}"event":${body}}`,
      ),
    notice: (type, payload) => textMessage(JSON.stringify({ type, ...payload })),
  },
  ({ body }) => textMessage(body),
  (text) => textMessage(text),
);

/** The answer to a request, with the id that the client gave it. */
export const acknowledgement = (
  request: string | undefined,
  requestId: RequestId | undefined,
  answer: Answer,
): Frame => textMessage(JSON.stringify({ type: 'ack', request, requestId, ...answer }));

const textMessage = (text: string): Frame => ({ text, bytes: textFrame(text) });

/**
 * Twice, because either answer shows that the client is alive: its library answers the ping of the
 * protocol, and where a proxy does that, its application answers the other.
 */
const HEARTBEAT: Frame = heartbeat('{"type":"ping"}');

function heartbeat(text: string): Frame {
  return { text, bytes: Buffer.concat([textFrame(text), PING_FRAME]) };
}

/**
 * A client without Socket.IO. Frames are written to the socket below the library: they are whole and
 * uncompressed, as everything that the library writes itself, so the two do not mix.
 */
export class PlainWebSocketConnection extends Connection {
  override readonly transport = 'websocket';
  private hasAnswered = true;

  constructor(
    admission: Admission,
    private readonly webSocket: WebSocket,
    private readonly socket: Duplex,
    override readonly heartbeatMs: number,
  ) {
    super(admission, WEBSOCKET_ENCODINGS[admission.options?.frames ?? 'envelope']);
    webSocket.on('pong', () => this.markAlive());
    webSocket.once('close', () => this.ended());
    // The closing frame has named the error, and `close` comes next.
    webSocket.on('error', () => undefined);
  }

  override get backlogBytes(): number {
    return this.socket.writableLength;
  }

  /** Any frame shows that the client is alive. */
  markAlive(): void {
    this.hasAnswered = true;
  }

  /** Pings the client, or closes the connection if it has not answered the last ping. */
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

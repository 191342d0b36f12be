import { httpAddress } from './http-client.js';
import { asRefusal } from './tidings-error.js';
import type { Answer, FrameDetails, LinkEnd, Transport } from './transport.js';

/** The part of a `socket.io-client` socket that is used. */
export interface SocketIoSocket {
  on(name: string, listener: (...args: never[]) => void): unknown;
  onAny(listener: (name: string, payload: unknown, details: unknown) => void): unknown;
  emit(name: string, payload: object, acknowledge: (answer: Answer) => void): unknown;
  disconnect(): unknown;
}

/** The `io` of `socket.io-client`. */
export type Io = (url: string, options: Record<string, unknown>) => SocketIoSocket;

/**
 * A transport over Socket.IO, which falls back to polling where a proxy blocks WebSockets.
 *
 * @param io of `socket.io-client`, version 4
 * @param options more options of Socket.IO, e.g. `{ transports: ['websocket'] }`
 */
export const socketIo = (io: Io, options: Record<string, unknown> = {}): Transport => ({
  open({ url, token, clientId, replace, echo, onFrame, onClose }) {
    // Socket.IO takes a path in the URL for a namespace.
    const { origin, pathname } = httpAddress(url, '/socket.io');
    const socket = io(origin, {
      path: pathname,
      transports: ['websocket', 'polling'],
      tryAllTransports: true,
      ...options,
      auth: {
        ...(options['auth'] as object | undefined),
        // Events then come with their channel.
        channels: true,
        ...(token !== undefined && { token }),
        ...(clientId !== undefined && { clientId }),
        ...(replace === true && { replace }),
        ...(echo === false && { echo }),
      },
      // A separate connection without automatic reconnection: this client decides when to reconnect.
      forceNew: true,
      reconnection: false,
    });
    const ended = once((end: LinkEnd) => {
      socket.disconnect();
      onClose(end);
    });
    socket.onAny((name, payload, details) => onFrame(name, payload, asDetails(details)));
    socket.on('disconnect', (reason: string) => ended({ reason }));
    socket.on('connect_error', (error: Error & { data?: unknown }) => {
      const refusal = asRefusal(error.data);
      ended({ reason: error.message, ...(refusal && { refusal }) });
    });
    return {
      request: (name, payload) =>
        new Promise((resolve) => void socket.emit(name, payload, resolve)),
      close: () => void socket.disconnect(),
    };
  },
});

const asDetails = (value: unknown): FrameDetails | undefined =>
  typeof value === 'object' && value !== null ? value : undefined;

function once<T>(callback: (value: T) => void): (value: T) => void {
  let isDone = false;
  return (value) => {
    if (isDone) return;
    isDone = true;
    callback(value);
  };
}

import { io } from 'socket.io-client';
import { EventSource } from 'undici';
import { WebSocket } from 'ws';

/** A client with its own way to reconnect; the test does nothing for it. */
export interface ReconnectingClient {
  readonly isConnected: () => boolean;
  /** How often it was not let in, or its connection ended. */
  readonly failures: () => number;
  readonly close: () => void;
}

/** Where and as whom it connects. */
export interface Target {
  url: string;
  /** Of a token; `apiKey`: that one instead, where the client can send it. */
  token: string;
  apiKey?: string;
}

const RECONNECT_MS = 100;

class ClientState {
  private isConnected = false;
  private failures = 0;
  readonly readers = { isConnected: () => this.isConnected, failures: () => this.failures };

  begin(): void {
    this.isConnected = true;
  }

  end(): void {
    this.isConnected = false;
    this.failures++;
  }
}

const socketIoClient =
  (transport: 'websocket' | 'polling') =>
  ({ url, token, apiKey }: Target): ReconnectingClient => {
    const socket = io(url, {
      forceNew: true,
      transports: [transport],
      reconnectionDelay: RECONNECT_MS,
      ...(apiKey === undefined ? { auth: { token } } : { extraHeaders: { 'x-api-key': apiKey } }),
    });
    const state = new ClientState();
    socket.on('connected', () => state.begin());
    socket.on('disconnect', () => state.end());
    socket.on('connect_error', () => state.end());
    return { ...state.readers, close: () => socket.close() };
  };

/** As a browser has it: it stops after any answer that is no stream. */
function eventSource({ url, token }: Target): ReconnectingClient {
  const source = new EventSource(`${url}/api/v1/events/stream?token=${token}`);
  const state = new ClientState();
  source.addEventListener('connected', () => state.begin());
  source.addEventListener('error', () => state.end());
  return { ...state.readers, close: () => source.close() };
}

/** A page's own reconnecting, as the documentation of the close codes asks for. */
function plainWebSocket({ url, token, apiKey }: Target): ReconnectingClient {
  const state = new ClientState();
  let isOver = false;
  let socket: WebSocket;
  const connect = (): void => {
    const headers = apiKey === undefined ? {} : { 'x-api-key': apiKey };
    const protocols = apiKey === undefined ? ['bearer', token] : [];
    socket = new WebSocket(`${url.replace('http', 'ws')}/ws`, protocols, { headers });
    let isRefusedByHttp = false;
    socket.on('error', (error: NodeJS.ErrnoException) => (isRefusedByHttp = !error.code));
    socket.on('message', (data: Buffer) => {
      if (data.toString().startsWith('{"type":"connected"')) state.begin();
    });
    socket.on('close', (code) => {
      state.end();
      const isFinal = isRefusedByHttp || (code >= 3500 && code < 4000);
      if (!isOver && !isFinal) setTimeout(connect, RECONNECT_MS).unref();
    });
  };
  connect();
  return {
    ...state.readers,
    close: () => {
      isOver = true;
      socket.terminate();
    },
  };
}

export const RECONNECTING_CLIENTS: Record<string, (target: Target) => ReconnectingClient> = {
  'socket.io-client over WebSocket': socketIoClient('websocket'),
  'socket.io-client over polling': socketIoClient('polling'),
  EventSource: eventSource,
  'a plain WebSocket': plainWebSocket,
};

import { refusedToken } from './refused-token.js';
import type { Answer, Link, LinkEnd, OpenRequest, Transport } from './transport.js';

/** The part of a WebSocket that is used. Browsers, Node 22 and the package `ws` have it. */
export interface WebSocketLike {
  addEventListener(type: 'message', listener: (event: { data: unknown }) => void): void;
  addEventListener(
    type: 'close',
    listener: (event: { code: number; reason: string }) => void,
  ): void;
  addEventListener(type: 'error', listener: (event: object) => void): void;
  send(text: string): void;
  close(): void;
}

export type WebSocketConstructor = new (url: string, protocols?: string[]) => WebSocketLike;

export interface WebSocketOptions {
  /** Default: the platform's. Node 20 has none; use the one of the package `ws`. */
  WebSocket?: WebSocketConstructor;
  /** Path below the URL of the server. Default `/ws`. */
  path?: string;
}

/**
 * A transport over a plain WebSocket; needs no other package.
 *
 * @throws TypeError if the platform has no WebSocket and none is given
 */
export function webSocket({ path = '/ws', ...options }: WebSocketOptions = {}): Transport {
  const platform = globalThis as { WebSocket?: WebSocketConstructor };
  const Socket = options.WebSocket ?? platform.WebSocket;
  if (!Socket) {
    throw new TypeError(
      'This platform has no WebSocket: pass webSocket({ WebSocket }) with the one of the package ws, or socketIo(io).',
    );
  }
  return {
    open: (request) => {
      // Browsers cannot set headers. URLs are often logged; subprotocols are not.
      const protocols = request.token === undefined ? [] : ['bearer', request.token];
      return new WebSocketLink(new Socket(addressOf(request, path), protocols), request);
    },
  };
}

function addressOf({ url, clientId, replace, echo }: OpenRequest, path: string): string {
  const address = new URL(url);
  address.protocol = address.protocol.replace('http', 'ws');
  address.pathname = address.pathname.replace(/\/$/, '') + path;
  if (clientId !== undefined) address.searchParams.set('clientId', clientId);
  if (replace === true) address.searchParams.set('replace', 'true');
  if (echo === false) address.searchParams.set('echo', 'false');
  return address.href;
}

/** The connection ended without a close frame (RFC 6455, 7.1.5). */
const ABNORMAL = 1006;

/** After so many heartbeat intervals without a frame the connection is dead. */
const MAX_MISSED_HEARTBEATS = 2;

class WebSocketLink implements Link {
  private readonly answers = new Map<number, (answer: Answer) => void>();
  private requests = 0;
  private missedHeartbeats = 0;
  private heartbeatTimer: ReturnType<typeof setInterval> | undefined;
  private isOver = false;
  private hasReceived = false;
  private errorMessage = '';

  constructor(
    private readonly socket: WebSocketLike,
    private readonly openRequest: OpenRequest,
  ) {
    socket.addEventListener('message', ({ data }) => this.read(data));
    socket.addEventListener('close', ({ code, reason }) => {
      void this.closed({ code, reason: reason || this.errorMessage || 'the WebSocket was closed' });
    });
    // Browsers write the reason only to their console; `close` follows.
    socket.addEventListener('error', (event) => {
      if ('message' in event) this.errorMessage = String(event.message);
    });
  }

  request(name: string, payload: object): Promise<Answer> {
    this.requests++;
    const requestId = this.requests;
    return new Promise((resolve) => {
      this.answers.set(requestId, resolve);
      this.socket.send(JSON.stringify({ ...payload, type: name, requestId }));
    });
  }

  close(): void {
    this.isOver = true;
    clearInterval(this.heartbeatTimer);
    this.socket.close();
  }

  private read(data: unknown): void {
    this.missedHeartbeats = 0;
    this.hasReceived = true;
    const frame = frameIn(data);
    if (!frame || this.isOver) return;
    const { type, ...payload } = frame;
    if (type === 'ack') return this.acknowledge(payload);
    if (type === 'ping') this.socket.send('{"type":"pong"}');
    if (type === 'connected') this.watchHeartbeats(payload['heartbeatMs']);
    if (type !== 'event') return this.openRequest.onFrame(type, payload);
    const { event, channel } = payload;
    this.openRequest.onFrame(type, event, typeof channel === 'string' ? { channel } : undefined);
  }

  private acknowledge({ requestId, ...answer }: Record<string, unknown>): void {
    const resolve = this.answers.get(requestId as number);
    this.answers.delete(requestId as number);
    resolve?.(answer as Answer);
  }

  /** Missing heartbeats are the only sign that the server has vanished. */
  private watchHeartbeats(heartbeatMs: unknown): void {
    if (typeof heartbeatMs !== 'number' || heartbeatMs <= 0) return;
    this.heartbeatTimer ??= setInterval(() => {
      this.missedHeartbeats++;
      if (this.missedHeartbeats <= MAX_MISSED_HEARTBEATS) return;
      this.end({ reason: 'the server sent no heartbeat' });
    }, heartbeatMs);
  }

  private async closed(end: LinkEnd): Promise<void> {
    const isRefused = !this.hasReceived && !this.isOver && end.code === ABNORMAL;
    const refusal = isRefused && (await refusedToken(this.openRequest.url, this.openRequest.token));
    this.end({ ...end, ...(refusal && { refusal }) });
  }

  private end(end: LinkEnd): void {
    if (this.isOver) return;
    this.close();
    this.openRequest.onClose(end);
  }
}

/** Parses a frame of the server; undefined for any other data. */
function frameIn(data: unknown): (Record<string, unknown> & { type: string }) | undefined {
  if (typeof data !== 'string') return undefined;
  try {
    const frame = JSON.parse(data) as unknown;
    const hasType = typeof (frame as { type?: unknown } | null)?.type === 'string';
    return hasType ? (frame as Record<string, unknown> & { type: string }) : undefined;
  } catch {
    return undefined;
  }
}

import { refusedToken } from './refused-token.js';
import type { Answer, Link, LinkEnd, OpenRequest, Transport } from './transport.js';

/** What is used of a WebSocket; that of browsers and Node 22, and that of the package `ws` have it. */
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
  /** Default: that of the platform. Node 20 has none; give it the one of the package `ws`. */
  WebSocket?: WebSocketConstructor;
  /** Under the address of the server. Default `/ws`. */
  path?: string;
}

/**
 * Over a plain WebSocket; needs no other package.
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
      // A browser can set no headers; addresses end up in logs, subprotocols do not.
      const protocols = request.token === undefined ? [] : ['bearer', request.token];
      return new WebSocketLink(new Socket(addressOf(request.url, path), protocols), request);
    },
  };
}

function addressOf(url: string, path: string): string {
  const address = new URL(url);
  address.protocol = address.protocol.replace('http', 'ws');
  address.pathname = address.pathname.replace(/\/$/, '') + path;
  return address.href;
}

/** The connection ended without a word of the other end (RFC 6455, 7.1.5). */
const ABNORMAL = 1006;

/** The server shows that it is there this often; what is silent for longer is dead. */
const SILENT_BEATS = 2;

class WebSocketLink implements Link {
  private readonly answers = new Map<number, (answer: Answer) => void>();
  private requests = 0;
  private silentBeats = 0;
  private watch: ReturnType<typeof setInterval> | undefined;
  private isOver = false;
  private hasHeard = false;
  private trouble = '';

  constructor(
    private readonly socket: WebSocketLike,
    private readonly given: OpenRequest,
  ) {
    socket.addEventListener('message', ({ data }) => this.read(data));
    socket.addEventListener('close', ({ code, reason }) => {
      void this.closed({ code, reason: reason || this.trouble || 'the WebSocket was closed' });
    });
    // Browsers tell it to nobody but their console; `close` comes next.
    socket.addEventListener('error', (event) => {
      if ('message' in event) this.trouble = String(event.message);
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
    clearInterval(this.watch);
    this.socket.close();
  }

  private read(data: unknown): void {
    this.silentBeats = 0;
    this.hasHeard = true;
    const frame = frameIn(data);
    if (!frame || this.isOver) return;
    const { type, ...payload } = frame;
    if (type === 'ack') return this.acknowledge(payload);
    if (type === 'ping') this.socket.send('{"type":"pong"}');
    if (type === 'connected') this.watchOver(payload['heartbeatMs']);
    this.given.onFrame(type, type === 'event' ? payload['event'] : payload);
  }

  private acknowledge({ requestId, ...answer }: Record<string, unknown>): void {
    const resolve = this.answers.get(requestId as number);
    this.answers.delete(requestId as number);
    resolve?.(answer as Answer);
  }

  /** Nothing tells a client that the other end has vanished, except that nothing comes. */
  private watchOver(heartbeatMs: unknown): void {
    if (typeof heartbeatMs !== 'number' || heartbeatMs <= 0) return;
    this.watch ??= setInterval(() => {
      this.silentBeats++;
      if (this.silentBeats <= SILENT_BEATS) return;
      this.end({ reason: 'the server has gone silent' });
    }, heartbeatMs);
  }

  private async closed(end: LinkEnd): Promise<void> {
    const isRefused = !this.hasHeard && !this.isOver && end.code === ABNORMAL;
    const refusal = isRefused && (await refusedToken(this.given.url, this.given.token));
    this.end({ ...end, ...(refusal && { refusal }) });
  }

  private end(end: LinkEnd): void {
    if (this.isOver) return;
    this.close();
    this.given.onClose(end);
  }
}

/** Text that is no frame is what other people say to each other over plain WebSockets. */
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

import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { type ClientOptions, WebSocket } from 'ws';
import { tokenOf } from './realtime-app.js';

/** How long a frame may take; longer than anything takes on a busy machine. */
const TIMEOUT_MS = 15_000;

type Payload = Record<string, unknown>;

export interface WebSocketOptions extends ClientOptions {
  protocols?: string[];
}

/** The answer to a refused upgrade. */
export interface RefusedUpgrade {
  status: number;
  headers: IncomingMessage['headers'];
  body: Payload;
}

/** A plain WebSocket client that stores all frames until the test reads them. */
export class WebSocketClient {
  private readonly received: (Payload | string)[] = [];
  private readonly waiting = new Set<() => void>();
  private requests = 0;
  /** Settles when the connection has ended. */
  readonly closed: Promise<{ code: number; reason: string }>;

  private constructor(
    readonly socket: WebSocket,
    answersPings: boolean,
  ) {
    socket.on('message', (data: Buffer) => {
      const frame = parsed(data.toString());
      if (typeof frame === 'object' && frame['type'] === 'ping') {
        if (answersPings) this.send({ type: 'pong' });
      }
      this.received.push(frame);
      for (const resolve of this.waiting) resolve();
      this.waiting.clear();
    });
    socket.on('error', () => undefined);
    this.closed = new Promise((resolve) => {
      socket.once('close', (code, reason) => resolve({ code, reason: reason.toString() }));
    });
  }

  /** Connects to `/ws` or a path below it, by default with a token in the header. */
  static async connect(
    url: string,
    path = '/ws',
    { protocols = [], ...options }: WebSocketOptions = authorized(),
  ): Promise<WebSocketClient> {
    const socket = new WebSocket(`${url.replace('http', 'ws')}${path}`, protocols, options);
    const client = new WebSocketClient(socket, options.autoPong !== false);
    await once(socket, 'open');
    return client;
  }

  /** Expects that the server refuses the upgrade; returns its answer. */
  static async refused(
    url: string,
    path = '/ws',
    { protocols = [], ...options }: WebSocketOptions = {},
  ): Promise<RefusedUpgrade> {
    const socket = new WebSocket(`${url.replace('http', 'ws')}${path}`, protocols, options);
    socket.on('error', () => undefined);
    const answered = once(socket, 'unexpected-response', {
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const [, response] = (await answered) as [unknown, IncomingMessage];
    const body = JSON.parse(await text(response)) as Payload;
    return { status: response.statusCode!, headers: response.headers, body };
  }

  send(frame: object | string | Buffer): void {
    this.socket.send(
      typeof frame === 'string' || Buffer.isBuffer(frame) ? frame : JSON.stringify(frame),
    );
  }

  /** Sends a request and returns its acknowledgement. */
  request(type: string, payload: object = {}): Promise<Payload> {
    const requestId = ++this.requests;
    this.send({ type, requestId, ...payload });
    return this.find((frame) => typeof frame === 'object' && frame['requestId'] === requestId);
  }

  /** The oldest frame of this type that was not returned yet; waits for it. */
  next(type: string): Promise<Payload> {
    return this.find((frame) => typeof frame === 'object' && frame['type'] === type);
  }

  /** The oldest text that is not JSON; waits for it. */
  nextText(): Promise<string> {
    return this.find((frame) => typeof frame === 'string');
  }

  /** The ids of all events up to this one, which is the last: no others were sent. */
  async eventsUntil(id: string): Promise<string[]> {
    const ids: string[] = [];
    while (ids.at(-1) !== id) {
      const { event } = (await this.next('event')) as { event: { id: string } };
      ids.push(event.id);
    }
    return ids;
  }

  close(): void {
    this.socket.terminate();
  }

  private async find<T extends Payload | string>(
    matches: (frame: Payload | string) => boolean,
  ): Promise<T> {
    const deadline = AbortSignal.timeout(TIMEOUT_MS);
    for (;;) {
      const index = this.received.findIndex(matches);
      if (index !== -1) return this.received.splice(index, 1)[0] as T;
      await new Promise<void>((resolve, reject) => {
        this.waiting.add(resolve);
        const missing = () => reject(new Error(`only ${JSON.stringify(this.received)} came`));
        deadline.addEventListener('abort', missing, { once: true });
      });
    }
  }
}

/** The header of a token. */
export const authorized = (owner = 'acme', claims?: object) => ({
  headers: { authorization: `Bearer ${tokenOf(owner, claims)}` },
});

function parsed(text: string): Payload | string {
  try {
    return JSON.parse(text) as Payload;
  } catch {
    return text;
  }
}

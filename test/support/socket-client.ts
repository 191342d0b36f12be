import { io, type ManagerOptions, type Socket, type SocketOptions } from 'socket.io-client';

/** Longer than anything takes on a busy machine; whoever waits for this long has failed. */
const PATIENCE_MS = 15_000;

export type ClientOptions = Partial<ManagerOptions & SocketOptions>;

/** Why the server did not let a client in. */
export interface Refused {
  message: string;
  data?: { code: string; message: string };
}

type Payload = Record<string, unknown>;

/**
 * A client that misses nothing: whatever the server sends is kept, from the first frame on, until it
 * is asked for.
 */
export class SocketClient {
  private readonly frames: { name: string; payload: Payload }[] = [];
  private readonly waiting = new Set<() => void>();

  private constructor(readonly socket: Socket) {
    socket.onAny((name: string, payload: Payload) => this.keep(name, payload));
    socket.on('disconnect', (reason) => this.keep('disconnect', { reason }));
  }

  /** Connects, and rejects if the server refuses. It does not come back by itself unless told to. */
  static async connect(url: string, options: ClientOptions = {}): Promise<SocketClient> {
    const socket = io(url, { forceNew: true, reconnection: false, ...options });
    const client = new SocketClient(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('connect_error', (error) => {
        socket.close();
        reject(error);
      });
    });
    return client;
  }

  /** What the server says instead of letting the client in. */
  static async refused(url: string, options: ClientOptions = {}): Promise<Refused> {
    try {
      (await SocketClient.connect(url, options)).close();
    } catch (error) {
      return error as Error & Refused;
    }
    throw new Error('the server let the client in');
  }

  /** Emits with an acknowledgement and returns it. */
  request(name: string, ...payload: unknown[]): Promise<Payload> {
    return this.socket.timeout(PATIENCE_MS).emitWithAck(name, ...payload) as Promise<Payload>;
  }

  /** Subscribes and fails if the server says no. */
  async subscribe(...topics: unknown[]): Promise<Payload> {
    const answer = await this.request('subscribe', { topics });
    if (answer['ok'] !== true) throw new Error(`refused: ${JSON.stringify(answer)}`);
    return answer;
  }

  /** The oldest frame of this name that nobody has asked for; waits for it. */
  async next(name: string): Promise<Payload> {
    const deadline = AbortSignal.timeout(PATIENCE_MS);
    for (;;) {
      const index = this.frames.findIndex((frame) => frame.name === name);
      if (index !== -1) return this.frames.splice(index, 1)[0]!.payload;
      await new Promise<void>((resolve, reject) => {
        this.waiting.add(resolve);
        deadline.addEventListener('abort', () => reject(this.missing(name)), { once: true });
      });
    }
  }

  /** The ids of events up to this one, which comes last: what is not among them was not sent. */
  async eventsUntil(id: string): Promise<string[]> {
    const ids: string[] = [];
    while (ids.at(-1) !== id) ids.push(String((await this.next('event'))['id']));
    return ids;
  }

  close(): void {
    this.socket.close();
  }

  private missing(name: string): Error {
    return new Error(`no ${name} came, but ${JSON.stringify(this.frames)}`);
  }

  private keep(name: string, payload: Payload): void {
    this.frames.push({ name, payload });
    for (const resolve of this.waiting) resolve();
    this.waiting.clear();
  }
}

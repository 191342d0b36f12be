import { io, type ManagerOptions, type Socket, type SocketOptions } from 'socket.io-client';

/** How long a frame may take; longer than anything takes on a busy machine. */
const TIMEOUT_MS = 15_000;

export type ClientOptions = Partial<ManagerOptions & SocketOptions>;

/** Why the server refused a connection. */
export interface Refused {
  message: string;
  data?: { code: string; message: string };
}

type Payload = Record<string, unknown>;

/**
 * A Socket.IO client that stores all frames of the server, from the first one on, until the test reads
 * them.
 */
export class SocketClient {
  private readonly frames: { name: string; payload: Payload }[] = [];
  private readonly waiting = new Set<() => void>();

  private constructor(readonly socket: Socket) {
    socket.onAny((name: string, payload: Payload) => this.keep(name, payload));
    socket.on('disconnect', (reason) => this.keep('disconnect', { reason }));
  }

  /** Connects, and rejects if the server refuses. Without automatic reconnection by default. */
  static async connect(url: string, options: ClientOptions = {}): Promise<SocketClient> {
    const socket = io(url, { forceNew: true, reconnection: false, ...options });
    const client = new SocketClient(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('connect_error', (error) => {
        socket.close();
        reject(error);
      });
      // Refused for now: the server closes the transport.
      socket.once('disconnect', (reason) => reject(new Error(reason)));
    });
    return client;
  }

  /** Expects that the server refuses the connection; returns the reason. */
  static async refused(url: string, options: ClientOptions = {}): Promise<Refused> {
    try {
      (await SocketClient.connect(url, options)).close();
    } catch (error) {
      return error as Error & Refused;
    }
    throw new Error('the server accepted the connection');
  }

  /** Emits with an acknowledgement and returns it. */
  request(name: string, ...payload: unknown[]): Promise<Payload> {
    return this.socket.timeout(TIMEOUT_MS).emitWithAck(name, ...payload) as Promise<Payload>;
  }

  /** Subscribes, and fails if the server refuses. */
  async subscribe(...topics: unknown[]): Promise<Payload> {
    const answer = await this.request('subscribe', { topics });
    if (answer['ok'] !== true) throw new Error(`refused: ${JSON.stringify(answer)}`);
    return answer;
  }

  /** The oldest frame of this name that was not returned yet; waits for it. */
  async next(name: string): Promise<Payload> {
    const deadline = AbortSignal.timeout(TIMEOUT_MS);
    for (;;) {
      const index = this.frames.findIndex((frame) => frame.name === name);
      if (index !== -1) return this.frames.splice(index, 1)[0]!.payload;
      await new Promise<void>((resolve, reject) => {
        this.waiting.add(resolve);
        deadline.addEventListener('abort', () => reject(this.missing(name)), { once: true });
      });
    }
  }

  /** The ids of all events up to this one, which is the last: no others were sent. */
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

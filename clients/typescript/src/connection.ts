import { TidingsError } from './tidings-error.js';
import { type Answer, asAnswer, type Link, type LinkEnd, type Transport } from './transport.js';
import type { Ending } from './reconnection.js';
import type { Runtime } from './runtime.js';

/** What the server says of itself when a connection is there. */
export interface Welcome {
  connectionId: string;
  /** Who the token speaks for. */
  userId: string;
  serverTime: string;
  heartbeatMs: number;
  limits: Record<string, unknown>;
}

export interface ConnectionRequest {
  transport: Transport;
  url: string;
  token: string | undefined;
  /** For everything that waits for the server, in milliseconds. */
  timeoutMs: number;
  onWelcome(welcome: Welcome): void;
  onFrame(name: string, payload: unknown): void;
}

/** One connection, from the attempt to its end; it does not come back. */
export class Connection {
  /** Fulfilled with what is known of the end; never rejected. */
  readonly ended: Promise<Ending>;
  private readonly link: Link;
  private readonly openRequests = new Set<(error: TidingsError) => void>();
  private welcomedAt: number | undefined;
  private lastWord: Ending['lastWord'];
  private drainUntil: number | undefined;
  private isOver = false;
  private patience: AbortController | undefined;
  private resolveEnded: (ending: Ending) => void = () => undefined;

  constructor(
    private readonly given: ConnectionRequest,
    private readonly runtime: Runtime,
  ) {
    this.ended = new Promise((resolve) => (this.resolveEnded = resolve));
    this.link = given.transport.open({
      url: given.url,
      token: given.token,
      onFrame: (name, payload) => this.read(name, payload),
      onClose: (end) => this.end(end),
    });
    this.expectSomething('The server did not answer.');
  }

  get isOpen(): boolean {
    return this.welcomedAt !== undefined && !this.isOver;
  }

  /**
   * Sends a frame, and waits for the answer for as long as something comes. Silence ends the
   * connection: whether the server has done it is unknown, and a new one finds out.
   *
   * @throws TidingsError `connection_lost` if the connection ends first
   */
  async request(name: string, payload: object): Promise<Answer> {
    if (this.isOver) throw lost('the connection has ended');
    return new Promise<Answer>((resolve, reject) => {
      this.openRequests.add(reject);
      this.expectSomething(`The server did not answer ${name}.`);
      this.link
        .request(name, payload)
        .then((answer) => resolve(asAnswer(answer)), reject)
        .finally(() => {
          this.openRequests.delete(reject);
          if (this.openRequests.size === 0) this.patience?.abort();
        });
    });
  }

  close(reason = 'closed by the client'): void {
    this.end({ reason });
  }

  private read(name: string, payload: unknown): void {
    if (this.isOver) return;
    // Whatever comes shows that the server lives, and that an error before was not the last word.
    if (this.openRequests.size > 0) this.expectSomething('The server did not answer.');
    this.lastWord = undefined;
    if (name === 'connected') this.welcome(payload as Welcome);
    else if (name === 'error') this.lastWord = asLastWord(payload);
    else if (name === 'draining') this.drain(payload);
    this.given.onFrame(name, payload);
  }

  private welcome(welcome: Welcome): void {
    if (this.welcomedAt !== undefined) return;
    this.welcomedAt = this.runtime.now();
    if (this.openRequests.size === 0) this.patience?.abort();
    this.given.onWelcome(welcome);
  }

  private drain(payload: unknown): void {
    const { reconnectInMs } = (payload ?? {}) as { reconnectInMs?: unknown };
    if (typeof reconnectInMs !== 'number' || !Number.isFinite(reconnectInMs)) return;
    this.drainUntil = this.runtime.now() + reconnectInMs;
  }

  /** Starts the wait for the server anew. */
  private expectSomething(otherwise: string): void {
    this.patience?.abort();
    const patience = (this.patience = new AbortController());
    void this.runtime.sleep(this.given.timeoutMs, patience.signal).then(() => {
      if (!patience.signal.aborted) this.close(otherwise);
    });
  }

  private end(end: LinkEnd): void {
    if (this.isOver) return;
    this.isOver = true;
    this.patience?.abort();
    for (const reject of this.openRequests) reject(lost(end.reason));
    const now = this.runtime.now();
    this.resolveEnded({
      ...end,
      connectedMs: this.welcomedAt === undefined ? 0 : now - this.welcomedAt,
      ...(this.lastWord && { lastWord: this.lastWord }),
      ...(this.drainUntil !== undefined && { drainMs: this.drainUntil - now }),
    });
    this.link.close();
  }
}

const lost = (reason: string) =>
  new TidingsError('connection_lost', `The server has not answered: ${reason}`);

function asLastWord(payload: unknown): Ending['lastWord'] {
  const { code, message, reconnect } = (payload ?? {}) as Record<string, unknown>;
  if (typeof code !== 'string') return undefined;
  return {
    code,
    message: typeof message === 'string' ? message : code,
    reconnect: reconnect !== false,
  };
}

import { TidingsError } from './tidings-error.js';
import {
  type Answer,
  asAnswer,
  type FrameDetails,
  type Link,
  type LinkEnd,
  type Transport,
} from './transport.js';
import type { Ending } from './reconnection.js';
import type { Runtime } from './runtime.js';

/** The server's first frame on a connection. */
export interface Welcome {
  connectionId: string;
  /** The owner of the credential. */
  userId: string;
  serverTime: string;
  heartbeatMs: number;
  /** How much a client may do, e.g. `topics`, `messagesPerSecond`. */
  limits: Record<string, number>;
  /** As it was given to `connect`. */
  clientId?: string;
  /** Another connection of the tenant has this client id. */
  duplicateClientId?: true;
}

export interface ConnectionRequest {
  transport: Transport;
  url: string;
  token: string | undefined;
  clientId: string | undefined;
  replace: boolean | undefined;
  echo: boolean | undefined;
  /** How long the server may send nothing while a request is open, in milliseconds. */
  timeoutMs: number;
  onWelcome(welcome: Welcome): void;
  onFrame(name: string, payload: unknown, details: FrameDetails | undefined): void;
}

/** One connection, from the attempt to its end; it does not reconnect. */
export class Connection {
  /** Fulfilled with the reason of the end; never rejected. */
  readonly ended: Promise<Ending>;
  private readonly link: Link;
  private readonly openRequests = new Set<(error: TidingsError) => void>();
  private welcomedAt: number | undefined;
  private lastError: Ending['lastError'];
  private drainUntil: number | undefined;
  private isOver = false;
  private silenceTimer: AbortController | undefined;
  private resolveEnded: (ending: Ending) => void = () => undefined;

  constructor(
    private readonly options: ConnectionRequest,
    private readonly runtime: Runtime,
  ) {
    this.ended = new Promise((resolve) => (this.resolveEnded = resolve));
    this.link = options.transport.open({
      url: options.url,
      token: options.token,
      clientId: options.clientId,
      replace: options.replace,
      echo: options.echo,
      onFrame: (name, payload, details) => this.read(name, payload, details),
      onClose: (end) => this.end(end),
    });
    this.restartSilenceTimer('The server did not answer.');
  }

  get isOpen(): boolean {
    return this.welcomedAt !== undefined && !this.isOver;
  }

  /**
   * Sends a frame, and waits for the answer as long as the server sends anything. If it sends nothing
   * for `timeoutMs`, the connection is closed: whether the request was processed is unknown, and the
   * next connection repeats it.
   *
   * @throws TidingsError `connection_lost` if the connection ends first
   */
  async request(name: string, payload: object): Promise<Answer> {
    if (this.isOver) throw lost('the connection has ended');
    return new Promise<Answer>((resolve, reject) => {
      this.openRequests.add(reject);
      this.restartSilenceTimer(`The server did not answer ${name}.`);
      this.link
        .request(name, payload)
        .then((answer) => resolve(asAnswer(answer)), reject)
        .finally(() => {
          this.openRequests.delete(reject);
          if (this.openRequests.size === 0) this.silenceTimer?.abort();
        });
    });
  }

  close(reason = 'closed by the client'): void {
    this.end({ reason });
  }

  private read(name: string, payload: unknown, details?: FrameDetails): void {
    if (this.isOver) return;
    // Any frame shows that the server is alive, and that an earlier error was not its last frame.
    if (this.openRequests.size > 0) this.restartSilenceTimer('The server did not answer.');
    this.lastError = undefined;
    if (name === 'connected') this.welcome(payload as Welcome);
    else if (name === 'error') this.lastError = asLastError(payload);
    else if (name === 'draining') this.drain(payload);
    this.options.onFrame(name, payload, details);
  }

  private welcome(welcome: Welcome): void {
    if (this.welcomedAt !== undefined) return;
    this.welcomedAt = this.runtime.now();
    if (this.openRequests.size === 0) this.silenceTimer?.abort();
    this.options.onWelcome(welcome);
  }

  private drain(payload: unknown): void {
    const { reconnectInMs } = (payload ?? {}) as { reconnectInMs?: unknown };
    if (typeof reconnectInMs !== 'number' || !Number.isFinite(reconnectInMs)) return;
    this.drainUntil = this.runtime.now() + reconnectInMs;
  }

  /** Closes the connection unless the server sends something within `timeoutMs`. */
  private restartSilenceTimer(reason: string): void {
    this.silenceTimer?.abort();
    const timer = (this.silenceTimer = new AbortController());
    void this.runtime.sleep(this.options.timeoutMs, timer.signal).then(() => {
      if (!timer.signal.aborted) this.close(reason);
    });
  }

  private end(end: LinkEnd): void {
    if (this.isOver) return;
    this.isOver = true;
    this.silenceTimer?.abort();
    for (const reject of this.openRequests) reject(lost(end.reason));
    const now = this.runtime.now();
    this.resolveEnded({
      ...end,
      connectedMs: this.welcomedAt === undefined ? 0 : now - this.welcomedAt,
      ...(this.lastError && { lastError: this.lastError }),
      ...(this.drainUntil !== undefined && { drainMs: this.drainUntil - now }),
    });
    this.link.close();
  }
}

const lost = (reason: string) =>
  new TidingsError('connection_lost', `The server has not answered: ${reason}`);

function asLastError(payload: unknown): Ending['lastError'] {
  const { code, message, reconnect } = (payload ?? {}) as Record<string, unknown>;
  if (typeof code !== 'string') return undefined;
  return {
    code,
    message: typeof message === 'string' ? message : code,
    reconnect: reconnect !== false,
  };
}

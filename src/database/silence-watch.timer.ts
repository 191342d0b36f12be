/** A connection as {@link SilenceWatch} sees it. */
export interface WatchedConnection {
  /** The backend at the other end; undefined: unknown, because there is a pooler between. */
  readonly backend: number | undefined;
  /** Whether a statement is without an answer. */
  readonly isWaiting: boolean;
  /** When something last came, or when the statement that waits was sent, if that was later. */
  readonly quietSinceMs: number;
  /** Destroys it; its statements fail as those of a lost connection do. */
  abandon(reason: string): void;
}

/** What a new connection learns about others: those that work, that it was refused, or nothing at all. */
export type Probe =
  { kind: 'answered'; working: ReadonlySet<number> } | { kind: 'refused' } | { kind: 'silent' };

export interface SilenceWatchOptions {
  /** A statement that has had no answer for so long is asked about, and again after that time. */
  silentMs: number;
  /** A statement behind a pooler, which cannot be asked about, may take so long. */
  limitMs: number;
  /** Asks about backends on a new connection, in bounded time. */
  probe: (backends: readonly number[]) => Promise<Probe>;
}

/** How often the connections are looked at within `silentMs`. */
const LOOKS = 5;

/**
 * Finds connections that are silent: neither closed nor reset, for example after a failover of a
 * network device, so that the kernel would wait for a quarter of an hour. A statement may take long,
 * so time alone says nothing: the server is asked on a new connection whether it works on it.
 */
export class SilenceWatch {
  private readonly connections = new Set<WatchedConnection>();
  /** When the server last confirmed that it works on the statement of a connection. */
  private readonly confirmed = new WeakMap<WatchedConnection, number>();
  private timer: NodeJS.Timeout | undefined;
  private isProbing = false;

  constructor(private readonly options: SilenceWatchOptions) {}

  add(connection: WatchedConnection): void {
    this.connections.add(connection);
    this.timer ??= setInterval(() => void this.look(), this.options.silentMs / LOOKS).unref();
  }

  delete(connection: WatchedConnection): void {
    this.connections.delete(connection);
    if (this.connections.size > 0) return;
    clearInterval(this.timer);
    this.timer = undefined;
  }

  /** For how long a statement has been without an answer, and without a word of the server about it. */
  get silentForMs(): number {
    const now = performance.now();
    let longest = 0;
    for (const connection of this.connections) {
      if (connection.isWaiting) longest = Math.max(longest, now - this.sinceOf(connection));
    }
    return longest;
  }

  private sinceOf(connection: WatchedConnection): number {
    return Math.max(connection.quietSinceMs, this.confirmed.get(connection) ?? 0);
  }

  private async look(): Promise<void> {
    if (this.isProbing) return;
    const now = performance.now();
    const quiet = [...this.connections]
      .filter((one) => one.isWaiting && now - this.sinceOf(one) > this.options.silentMs)
      .map((one) => ({ connection: one, since: one.quietSinceMs }));
    if (quiet.length === 0) return;
    this.isProbing = true;
    try {
      const probe = await this.options.probe(
        quiet.flatMap(({ connection }) => connection.backend ?? []),
      );
      const silent = quiet.filter(
        ({ connection, since }) =>
          connection.isWaiting &&
          connection.quietSinceMs === since &&
          this.isSilent(connection, probe),
      );
      if (silent.length > 0) this.abandon(Math.min(...silent.map(({ since }) => since)), silent);
    } finally {
      this.isProbing = false;
    }
  }

  private isSilent(connection: WatchedConnection, probe: Probe): boolean {
    const now = performance.now();
    if (probe.kind === 'silent') return true;
    const { backend } = connection;
    if (probe.kind === 'refused' || backend === undefined) {
      return now - connection.quietSinceMs > this.options.limitMs;
    }
    if (!probe.working.has(backend)) return true;
    this.confirmed.set(connection, now);
    return false;
  }

  /** Also those that nothing has come from since: they would be found one after the other. */
  private abandon(since: number, silent: readonly { connection: WatchedConnection }[]): void {
    for (const { connection } of silent) connection.abandon('a statement has had no answer');
    for (const connection of this.connections) {
      if (!connection.isWaiting && connection.quietSinceMs < since) {
        connection.abandon('another connection to the server is silent');
      }
    }
  }
}

import { type Client, Pool } from 'undici';
import { Connection } from './connection.client.js';
import type { GuardedConnector } from './guarded-connector.client.js';

/**
 * Keep-alive connections, one pool per origin, for as long as an origin is in use.
 *
 * A pool is dropped when nobody has used it for a while, when there are too many, and when it is
 * old: connections that are never idle would otherwise keep to an address that DNS and the address
 * policy have long since moved away from.
 */
export interface OriginPool {
  readonly pool: Pool;
  readonly createdMs: number;
  lastUsedMs: number;
  /** Requests that have not been answered to their caller yet; a pool with any is never dropped. */
  inFlight: number;
}

/** Beyond this, the longest unused pool makes room; pools in use may exceed it. */
const MAX_ORIGINS = 2_000;

/** Sockets are closed by then, see `keepAliveMaxTimeout`; what remains is the bookkeeping. */
const IDLE_POOL_MS = 60_000;
const MAX_POOL_AGE_MS = 5 * 60_000;
const SWEEP_EVERY_MS = 10_000;

const POOL_OPTIONS = {
  connections: 100,
  pipelining: 1,
  // Servers that close sooner say so in their Keep-Alive header, which undici honours.
  keepAliveTimeout: 15_000,
  keepAliveMaxTimeout: 60_000,
  maxHeaderSize: 16 * 1024,
  // Both are evaded by dripping; the attempt's own deadline is not.
  headersTimeout: 0,
  bodyTimeout: 0,
} satisfies Pool.Options;

export class OriginPools {
  private readonly pools = new Map<string, OriginPool>();
  private lastSweepMs = 0;

  constructor(private readonly connector: GuardedConnector) {}

  /** The pool of an origin, made when there is none. Count `inFlight` up and down yourself. */
  get(origin: string, nowMs: number): OriginPool {
    const existing = this.pools.get(origin);
    if (existing !== undefined) {
      if (nowMs - existing.createdMs < MAX_POOL_AGE_MS) return existing;
      this.retire(origin, existing);
    }
    if (this.pools.size >= MAX_ORIGINS) this.evictOne();
    const created = { pool: this.open(origin), createdMs: nowMs, lastUsedMs: nowMs, inFlight: 0 };
    this.pools.set(origin, created);
    return created;
  }

  /** Drops what has not been used for a while. Cheap enough to be called at every tick. */
  sweep(nowMs: number): void {
    if (nowMs - this.lastSweepMs < SWEEP_EVERY_MS) return;
    this.lastSweepMs = nowMs;
    for (const [origin, entry] of this.pools) {
      if (entry.inFlight === 0 && nowMs - entry.lastUsedMs > IDLE_POOL_MS) this.drop(origin, entry);
    }
  }

  /** Ends every connection at once; resolves when they are closed. */
  async destroy(): Promise<void> {
    const entries = [...this.pools.values()];
    this.pools.clear();
    await Promise.all(entries.map(({ pool }) => pool.destroy()));
  }

  private open(origin: string): Pool {
    return new Pool(origin, { ...POOL_OPTIONS, factory: this.connection });
  }

  private readonly connection = (origin: URL, options: Client.Options): Connection =>
    new Connection(origin, options, this.connector);

  /** Requests in flight finish on the old connections, new ones get new connections. */
  private retire(origin: string, { pool }: OriginPool): void {
    this.pools.delete(origin);
    void pool.close();
  }

  private drop(origin: string, { pool }: OriginPool): void {
    this.pools.delete(origin);
    // Not `close()`: requests past their deadline may still wait in there, and nobody for them.
    void pool.destroy();
  }

  private evictOne(): void {
    let oldest: [string, OriginPool] | undefined;
    for (const candidate of this.pools) {
      const isIdle = candidate[1].inFlight === 0;
      if (isIdle && candidate[1].lastUsedMs < (oldest?.[1].lastUsedMs ?? Infinity)) {
        oldest = candidate;
      }
    }
    if (oldest !== undefined) this.drop(...oldest);
  }
}

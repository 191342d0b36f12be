import type { GuardedConnector } from './guarded-connector.client.js';
import { OriginPool } from './origin-pool.client.js';

/** Beyond this, the longest unused pool makes room; pools in use may exceed it. */
const MAX_ORIGINS = 2_000;

/** Its connections are closed sooner; what remains is the bookkeeping. */
const IDLE_POOL_MS = 60_000;
const MAX_POOL_AGE_MS = 5 * 60_000;

/**
 * Keep-alive connections, one pool per origin, for as long as an origin is in use.
 *
 * A pool is dropped when nobody has used it for a while, when there are too many, and when it is
 * old: connections that are never idle would otherwise keep to an address that DNS and the address
 * policy have long since moved away from.
 */
export class OriginPools {
  private readonly pools = new Map<string, OriginPool>();
  /** Dropped from the map; for as long as they have requests that are still to finish. */
  private readonly retired = new Set<OriginPool>();

  constructor(private readonly connector: GuardedConnector) {}

  /** The pool of an origin, made when there is none. @throws TypeError when the origin is none */
  get(origin: string, nowMs: number): OriginPool {
    const existing = this.pools.get(origin);
    if (existing !== undefined) {
      if (nowMs - existing.createdMs < MAX_POOL_AGE_MS) return existing;
      this.retire(origin, existing);
    }
    if (this.pools.size >= MAX_ORIGINS) this.evictOne();
    const created = new OriginPool(origin, this.connector, nowMs);
    this.pools.set(origin, created);
    return created;
  }

  /** Closes connections that have been idle for too long, and drops what has not been used. */
  sweep(nowMs: number): void {
    for (const [origin, pool] of this.pools) {
      pool.prune(nowMs);
      if (pool.inFlight === 0 && nowMs - pool.lastUsedMs > IDLE_POOL_MS) this.drop(origin, pool);
    }
    for (const pool of this.retired) if (pool.size === 0) this.retired.delete(pool);
  }

  /** Ends every connection at once. */
  destroy(): void {
    for (const pool of [...this.pools.values(), ...this.retired]) pool.destroy();
    this.pools.clear();
    this.retired.clear();
  }

  /** Requests in flight finish on the old connections, new ones get new connections. */
  private retire(origin: string, pool: OriginPool): void {
    this.pools.delete(origin);
    this.retired.add(pool);
    pool.retire();
  }

  private drop(origin: string, pool: OriginPool): void {
    this.pools.delete(origin);
    pool.destroy();
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

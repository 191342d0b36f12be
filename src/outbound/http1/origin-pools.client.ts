import {
  Connection,
  type ConnectionOwner,
  type Connector,
  type ConnectTarget,
} from './connection.client.js';
import { brokenReason } from '../failure-reason.js';
import type { TlsSettings } from '../tls-settings.js';
import type { InFlightCounter, PendingRequest } from './pending-request.client.js';

/** Idle connections per origin; how many are in use is decided by those who send. */
const MAX_IDLE = 100;

/** Beyond this, the least recently used pool is dropped; pools in use may exceed it. */
const MAX_ORIGINS = 2_000;

/** Its connections are closed sooner; only the bookkeeping remains this long. */
const IDLE_POOL_MS = 60_000;
const MAX_POOL_AGE_MS = 5 * 60_000;

/**
 * Persistent connections, one pool per origin, for as long as an origin is in use.
 *
 * A pool is dropped when it has not been used for a while, when there are too many, and when it is
 * old: connections that are never idle would otherwise keep using an address that DNS and the address
 * policy have replaced long ago.
 */
export class OriginPools {
  private readonly pools = new Map<string, OriginPool>();
  /** No longer in the map, but some of their requests have not finished. */
  private readonly retired = new Set<OriginPool>();

  constructor(private readonly connector: Connector) {}

  /**
   * The pool of an origin; created if absent. Other TLS settings have another pool: a connection
   * proves who it belongs to.
   * @throws TypeError when it is not an origin
   */
  get(origin: string, nowMs: number, tls?: TlsSettings): OriginPool {
    const key = tls === undefined ? origin : `${origin} ${tls.id}`;
    const existing = this.pools.get(key);
    if (existing !== undefined) {
      if (nowMs - existing.createdMs < MAX_POOL_AGE_MS) return existing;
      this.retire(key, existing);
    }
    if (this.pools.size >= MAX_ORIGINS) this.evictOne();
    const created = new OriginPool(origin, this.connector, nowMs, tls);
    this.pools.set(key, created);
    return created;
  }

  /** Closes connections that have been idle for too long, and drops pools that are not used. */
  sweep(nowMs: number): void {
    for (const [origin, pool] of this.pools) {
      pool.closeExpired(nowMs);
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

/**
 * The persistent connections to one origin.
 *
 * A request never waits here: without an idle connection it gets a new one. How many requests there
 * are at once is limited where they are chosen, per webhook and owner, before their time runs. A limit
 * per origin would make owners wait for each other's slow receivers behind one gateway.
 */
export class OriginPool implements ConnectionOwner, InFlightCounter {
  /** Host and port as the `Host` header has them. */
  readonly host: string;
  lastUsedMs: number;
  /** Requests without a result; each {@link PendingRequest} counts itself. */
  inFlight = 0;

  private readonly target: ConnectTarget;
  private readonly connections = new Set<Connection>();
  /** Most recently used last. Taken from the end: that one has the most time left. */
  private readonly idle: Connection[] = [];
  private state: 'open' | 'retired' | 'destroyed' = 'open';

  /** @throws TypeError when it is not an origin */
  constructor(
    origin: string,
    private readonly connector: Connector,
    readonly createdMs: number,
    tls?: TlsSettings,
  ) {
    const { protocol, host, hostname, port } = new URL(origin);
    this.host = host;
    this.target = { protocol, host, hostname: hostname.replace(/^\[|\]$/g, ''), port, tls };
    this.lastUsedMs = createdMs;
  }

  /** How many connections are open or being opened. */
  get size(): number {
    return this.connections.size;
  }

  send(request: PendingRequest, nowMs: number): void {
    this.lastUsedMs = nowMs;
    const connection = this.takeIdle(nowMs);
    if (connection) connection.send(request);
    else this.connect(request);
  }

  /** Closes connections that have been idle for too long. */
  closeExpired(nowMs: number): void {
    for (const connection of this.idle) {
      if (!connection.isUsable(nowMs)) connection.destroy();
    }
  }

  /** Lets its requests finish, and closes every connection that they do not need. */
  retire(): void {
    this.state = 'retired';
    this.closeExpired(Infinity);
  }

  /** Ends every connection at once. */
  destroy(): void {
    this.state = 'destroyed';
    for (const connection of this.connections) connection.destroy();
  }

  onFree(connection: Connection): void {
    if (this.state === 'open' && this.idle.length < MAX_IDLE) this.idle.push(connection);
    else connection.destroy();
  }

  /** Over a new connection: the server may have closed the other idle ones, too. */
  onUnanswered(request: PendingRequest): void {
    if (this.state === 'destroyed') return request.fail(brokenReason(undefined, false));
    request.markResent();
    this.connect(request);
  }

  onClosed(connection: Connection): void {
    this.connections.delete(connection);
    const index = this.idle.indexOf(connection);
    if (index >= 0) this.idle.splice(index, 1);
  }

  private connect(request: PendingRequest): void {
    this.connections.add(new Connection(this.connector, this.target, request, this));
  }

  private takeIdle(nowMs: number): Connection | undefined {
    for (;;) {
      const connection = this.idle.pop();
      if (!connection || connection.isUsable(nowMs)) return connection;
      connection.destroy();
    }
  }
}

import type { buildConnector } from 'undici';
import { RingQueue } from '../shared/ring-queue.js';
import type { GuardedConnector } from './guarded-connector.client.js';
import { type ConnectionOwner, HttpConnection } from './http-connection.client.js';
import type { PendingRequest } from './pending-request.client.js';

/** Of one origin. Requests beyond it wait for one of them to be free. */
const MAX_CONNECTIONS = 100;

/** The connections to one origin, kept alive between requests. */
export class OriginPool implements ConnectionOwner {
  /** Host and port as the `Host` header has them. */
  readonly host: string;
  lastUsedMs: number;
  /** Requests that have not been answered to their caller yet; count them up and down yourself. */
  inFlight = 0;

  private readonly target: buildConnector.Options;
  private readonly connections = new Set<HttpConnection>();
  /** The one used last at the end: it is the one that lives longest. */
  private readonly idle: HttpConnection[] = [];
  private readonly waiting = new RingQueue<PendingRequest>();
  private isRetired = false;

  /** @throws TypeError when the origin is none */
  constructor(
    origin: string,
    private readonly connector: GuardedConnector,
    readonly createdMs: number,
  ) {
    const { protocol, host, hostname, port } = new URL(origin);
    this.host = host;
    // As net.connect() wants it: an IPv6 address without its brackets.
    this.target = { protocol, host, hostname: hostname.replace(/^\[|\]$/g, ''), port };
    this.lastUsedMs = createdMs;
  }

  /** How many connections there are, also those that are being opened. */
  get size(): number {
    return this.connections.size;
  }

  send(request: PendingRequest, nowMs: number): void {
    this.lastUsedMs = nowMs;
    const connection = this.takeIdle(nowMs);
    if (connection) connection.carry(request);
    else if (this.connections.size < MAX_CONNECTIONS) this.connect(request);
    else this.waiting.push(request);
  }

  /** Closes what has been idle for too long. */
  prune(nowMs: number): void {
    for (const connection of this.idle) {
      if (!connection.isUsable(nowMs)) connection.cut();
    }
  }

  /** Lets the requests that it has finish, and closes every connection that is not needed for them. */
  retire(): void {
    this.isRetired = true;
    this.prune(Infinity);
  }

  /** Ends every connection at once. */
  destroy(): void {
    this.isRetired = true;
    for (const connection of this.connections) connection.cut();
  }

  onFree(connection: HttpConnection): void {
    const next = this.nextWaiting();
    if (next) connection.carry(next);
    else if (this.isRetired) connection.cut();
    else this.idle.push(connection);
  }

  onGone(connection: HttpConnection): void {
    this.connections.delete(connection);
    const index = this.idle.indexOf(connection);
    if (index >= 0) this.idle.splice(index, 1);
    const next = this.nextWaiting();
    if (next) this.connect(next);
  }

  private connect(request: PendingRequest): void {
    this.connections.add(new HttpConnection(this.connector, this.target, request, this));
  }

  private takeIdle(nowMs: number): HttpConnection | undefined {
    for (;;) {
      const connection = this.idle.pop();
      if (!connection || connection.isUsable(nowMs)) return connection;
      connection.cut();
    }
  }

  /** The first that has not been given up while it waited. */
  private nextWaiting(): PendingRequest | undefined {
    for (;;) {
      const request = this.waiting.shift();
      if (!request?.isSettled) return request;
    }
  }
}

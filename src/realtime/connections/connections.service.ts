import {
  Inject,
  Injectable,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
} from '@nestjs/common';
import { type Principal, userKey } from '../../auth/principal.js';
import { RealtimeBus } from '../../cluster/realtime-bus.client.js';
import { TIMINGS, type Timings } from '../../config/timings.js';
import { FanoutService } from '../fanout/fanout.service.js';
import { RoomIndex } from '../fanout/room-index.js';
import type { Notices, Target } from '../protocol.js';
import { AdmissionService } from './admission.service.js';
import { clientKey } from './client-identity.js';
import { ConnectionEvents } from './connection-events.js';
import type { Connection } from './realtime.connection.js';

/** Between two clients that connect again after this node has stopped. */
const SPACING_MS = 5;

/** The cluster request that ends a connection; every node answers whether it had it. */
export const CLOSE_CONNECTION = 'close-connection';

/** The open connections of this node, over all transports. */
@Injectable()
export class Connections implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly connections = new Map<string, Connection>();
  /** By owner, user and client id, which stay the same for the life of a connection. */
  private readonly owners = new RoomIndex<Connection>();
  private readonly users = new RoomIndex<Connection>();
  private readonly clients = new RoomIndex<Connection>();
  private isDraining = false;

  constructor(
    private readonly admission: AdmissionService,
    private readonly events: ConnectionEvents,
    private readonly bus: RealtimeBus,
    private readonly fanout: FanoutService,
    @Inject(TIMINGS) private readonly timings: Timings,
  ) {}

  /** From now on there can be connections, which receive what other nodes publish. */
  async onApplicationBootstrap(): Promise<void> {
    await this.bus.receiveEvents((events) => this.fanout.deliver(events));
  }

  /** All of them; connections may end during the iteration. */
  all(): IterableIterator<Connection> {
    return this.connections.values();
  }

  get(id: string): Connection | undefined {
    return this.connections.get(id);
  }

  /** Those of an owner. The set changes with time: do not store it. */
  ofOwner(ownerId: string): ReadonlySet<Connection> {
    return this.owners.membersOf([ownerId]);
  }

  /** Those of a user. The set changes with time: do not store it. */
  ofUser(user: Pick<Principal, 'ownerId' | 'userId'>): ReadonlySet<Connection> {
    return this.users.membersOf([userKey(user)]);
  }

  /** Those with a client id. The set changes with time: do not store it. */
  ofClient({ ownerId, clientId }: { ownerId: string; clientId: string }): ReadonlySet<Connection> {
    return this.clients.membersOf([clientKey(ownerId, clientId)]);
  }

  /**
   * Registers a connection, which is open, and sends its `connected`.
   *
   * @param extra what the transport adds to `connected`
   */
  open(connection: Connection, extra: { position?: string; target?: Target } = {}): void {
    this.connections.set(connection.id, connection);
    const { clientId, principal } = connection;
    const { ownerId, userId } = principal;
    const user = userKey(principal);
    const client = clientId === undefined ? undefined : clientKey(ownerId, clientId);
    // One that has come since the other nodes were asked is on this node, or known to neither.
    const isDuplicate =
      connection.isDuplicate ||
      (client !== undefined && this.clients.occupied([client]).length > 0);
    this.owners.join(ownerId, connection);
    this.users.join(user, connection);
    if (client !== undefined) this.clients.join(client, connection);
    connection.whenEnded(() => {
      this.connections.delete(connection.id);
      this.owners.leave(ownerId, connection);
      this.users.leave(user, connection);
      if (client !== undefined) this.clients.leave(client, connection);
    });
    const connected: Notices['connected'] = {
      connectionId: connection.id,
      userId,
      serverTime: new Date().toISOString(),
      heartbeatMs: connection.heartbeatMs,
      limits: connection.limits,
      ...(clientId !== undefined && { clientId }),
      ...(isDuplicate && !connection.takeover && { duplicateClientId: true }),
      ...extra,
    };
    connection.notify('connected', connected);
    this.events.emit('opened', connection);
    if (this.isDraining) this.drain(connection);
  }

  /**
   * Ends a connection for an operator.
   *
   * @returns whether the connection was one of this node
   */
  closeByOperator(id: unknown): boolean {
    const connection = typeof id === 'string' ? this.connections.get(id) : undefined;
    connection?.close('closed_by_operator');
    return connection !== undefined;
  }

  /**
   * Before the HTTP server closes: says to each client when to come back, and closes. A client that is
   * between two polls has until `closeGraceMs` to fetch that; then its connection is cut.
   */
  async onModuleDestroy(): Promise<void> {
    this.isDraining = true;
    this.admission.close();
    const ended = [...this.all()].map(
      (connection) =>
        new Promise<void>((resolve) => {
          connection.whenEnded(resolve);
          this.drain(connection);
        }),
    );
    await Promise.all(ended);
  }

  /** Clients come back at different times, so that they do not overload the other nodes. */
  private drain(connection: Connection): void {
    // A few clients need not be spread over as long a time as a crowd.
    const spreadMs = Math.min(this.timings.reconnectWindowMs, this.connections.size * SPACING_MS);
    connection.close('draining', Math.floor(Math.random() * spreadMs));
  }
}

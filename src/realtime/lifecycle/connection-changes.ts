/** From connections that were opened and closed to rows of the register, and events. */
import type { SystemEvent } from '../../system-events/system-events.service.js';
import type { CloseReason } from '../close-codes.js';
import type { Entered, RegisteredConnection, RegisterEntry } from './connection-register.store.js';

/** Why a connection ended: the server closed it, the client did, or its node died. */
export type EndReason = CloseReason | 'client_left' | 'server_lost';

export interface ConnectionEnd {
  reason: EndReason;
  /** Milliseconds since 1970. */
  atMs: number;
}

/** In the order in which they happened. Without `end`: the connection was opened. */
export interface ConnectionChange {
  connection: RegisteredConnection;
  end?: ConnectionEnd;
}

export interface ChangePlan {
  /** One per connection. */
  entries: RegisterEntry[];
  /** Those with rows that were written earlier. */
  removed: RegisteredConnection[];
}

/**
 * A connection that was opened and closed meanwhile needs no row, and has both events.
 *
 * @param numberOf the number of a connection that the register has numbered
 */
export function planOf(
  changes: readonly ConnectionChange[],
  numberOf: (id: string) => number | undefined,
): ChangePlan {
  const entries = new Map<string, RegisterEntry>();
  const removed: RegisteredConnection[] = [];
  for (const { connection: given, end } of changes) {
    const isOpened = !end || entries.get(given.id)?.isKept === true;
    const connection = { ...given, clientNumber: numberOf(given.id) };
    entries.set(given.id, { connection, isOpened, isKept: !end });
    if (!isOpened) removed.push(connection);
  }
  return { entries: [...entries.values()], removed };
}

/**
 * The events of the changes, each with the counts right after it.
 *
 * @param entered what the register says of them; missing ones have no counts
 */
export function eventsOf(
  changes: readonly ConnectionChange[],
  entered: ReadonlyMap<string, Entered>,
): SystemEvent[] {
  const counts = new RunningCounts(changes, entered);
  return changes.flatMap(({ connection, end }) => {
    const count = end ? counts.ended(connection) : counts.opened(connection);
    if (!connection.isAnnounced) return [];
    return [end ? disconnected(connection, end, count) : connected(connection, count)];
  });
}

/** Counts of a connection's owner after a change of it, and its number. */
interface Count {
  clientNumber?: number | undefined;
  totalConnections: number;
  activeConnections: number;
}

/** From the totals after all changes back to those before them, and then change by change. */
class RunningCounts {
  private readonly owners = new Map<string, Omit<Count, 'clientNumber'>>();
  /** That are to be counted when they are opened. */
  private readonly uncounted = new Set<string>();

  constructor(
    changes: readonly ConnectionChange[],
    private readonly entered: ReadonlyMap<string, Entered>,
  ) {
    const ended = new Set(changes.flatMap(({ connection, end }) => (end ? [connection.id] : [])));
    for (const { connection, end } of changes) {
      const given = entered.get(connection.id);
      if (!given) continue;
      const owner = this.ownerOf(connection, given);
      if (end || !given.isNew || this.uncounted.has(connection.id)) continue;
      this.uncounted.add(connection.id);
      if (connection.clientNumber === undefined) owner.totalConnections--;
      if (!ended.has(connection.id)) owner.activeConnections--;
    }
  }

  opened(connection: RegisteredConnection): Count | undefined {
    const given = this.entered.get(connection.id);
    if (!given) return undefined;
    const owner = this.ownerOf(connection, given);
    if (this.uncounted.delete(connection.id)) {
      if (connection.clientNumber === undefined) owner.totalConnections++;
      owner.activeConnections++;
    }
    return { clientNumber: given.clientNumber, ...owner };
  }

  ended(connection: RegisteredConnection): Count | undefined {
    const given = this.entered.get(connection.id);
    if (!given) return undefined;
    const owner = this.ownerOf(connection, given);
    // The register may have lost count, as after a restored backup.
    owner.activeConnections = Math.max(0, owner.activeConnections - 1);
    return { clientNumber: given.clientNumber, ...owner };
  }

  private ownerOf(
    { ownerId }: RegisteredConnection,
    { totals: { totalConnections, activeConnections } }: Entered,
  ): Omit<Count, 'clientNumber'> {
    let owner = this.owners.get(ownerId);
    if (!owner) this.owners.set(ownerId, (owner = { totalConnections, activeConnections }));
    return owner;
  }
}

const connected = (
  { id, ownerId, userId, clientId, transport, connectedAtMs }: RegisteredConnection,
  count: Count | undefined,
): SystemEvent => ({
  type: 'client-connected',
  ownerId,
  subject: id,
  data: {
    connectionId: id,
    userId,
    clientId: clientId ?? null,
    transport,
    connectedAt: new Date(connectedAtMs).toISOString(),
    ...count,
  },
});

const disconnected = (
  { id, ownerId, userId, clientId, transport, connectedAtMs }: RegisteredConnection,
  { reason, atMs }: ConnectionEnd,
  count: Count | undefined,
): SystemEvent => ({
  type: 'client-disconnected',
  ownerId,
  subject: id,
  data: {
    connectionId: id,
    userId,
    clientId: clientId ?? null,
    transport,
    reason,
    durationMs: Math.max(0, atMs - connectedAtMs),
    ...(count && {
      clientNumber: count.clientNumber,
      totalConnections: count.totalConnections,
      remainingConnections: count.activeConnections,
    }),
  },
});

/** From connections that were opened and closed to rows of the register, and events. */
import type { SystemEvent } from '../../system-events/system-events.service.js';
import type { CloseReason } from '../close-codes.js';
import type { RegisteredConnection } from './connection-register.store.js';

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
  added: RegisteredConnection[];
  events: SystemEvent[];
  /** Ids of rows that were written earlier. */
  removed: string[];
}

/** A connection that was opened and closed meanwhile needs no row, and has both events. */
export function planOf(changes: readonly ConnectionChange[]): ChangePlan {
  const added = new Map<string, RegisteredConnection>();
  const removed: string[] = [];
  for (const { connection, end } of changes) {
    if (!end) added.set(connection.id, connection);
    else if (!added.delete(connection.id)) removed.push(connection.id);
  }
  const events = changes
    .filter(({ connection }) => connection.isAnnounced)
    .map(({ connection, end }) => (end ? disconnected(connection, end) : connected(connection)));
  return { added: [...added.values()], events, removed };
}

export const connected = ({
  id,
  ownerId,
  userId,
  clientId,
  transport,
  connectedAtMs,
}: RegisteredConnection): SystemEvent => ({
  type: 'client-connected',
  ownerId,
  subject: id,
  data: {
    connectionId: id,
    userId,
    clientId: clientId ?? null,
    transport,
    connectedAt: new Date(connectedAtMs).toISOString(),
  },
});

export const disconnected = (
  { id, ownerId, userId, clientId, transport, connectedAtMs }: RegisteredConnection,
  { reason, atMs }: ConnectionEnd,
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
  },
});

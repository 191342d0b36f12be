import { Injectable } from '@nestjs/common';
import { bulk, flag, number, text, textColumn, texts } from '../../database/bulk.js';
import { PostgresClient } from '../../database/postgres.client.js';
import { firstSuffixAt } from '../../shared/ids.js';
import type { Transport } from '../connections/realtime.connection.js';

/** How long after it was opened a connection is announced, unless a store was away. */
const ANNOUNCED_WITHIN_MS = 10_000;
/** By so much the times of nodes may differ. */
const CLOCK_MARGIN_MS = 1_000;

/** A row of the register. */
export interface RegisteredConnection {
  id: string;
  ownerId: string;
  userId: string;
  /** The name that the client gave itself. */
  clientId?: string | undefined;
  /** Where the client connects from. */
  address: string;
  transport: Transport;
  /** Milliseconds since 1970. */
  connectedAtMs: number;
  /** Whether `client-connected` was published, so that `client-disconnected` has to be. */
  isAnnounced: boolean;
}

/** A connection whose node has died. */
export interface LostConnection extends RegisteredConnection {
  /** When the node last renewed its entry. */
  endedAtMs: number;
}

export interface ConnectionFilter {
  ownerId?: string | undefined;
  transport?: Transport | undefined;
  /** Only older ones. */
  before?: string | undefined;
  limit: number;
}

interface Row {
  id: string;
  owner_id: string;
  user_id: string;
  client_id: string | null;
  address: string;
  transport: Transport;
  connected_at: Date;
  is_announced: boolean;
}

const ADDED = bulk<RegisteredConnection>({
  id: text(({ id }) => id),
  owner_id: text(({ ownerId }) => ownerId),
  user_id: text(({ userId }) => userId),
  client_id: text(({ clientId }) => clientId ?? null),
  address: text(({ address }) => address),
  transport: text(({ transport }) => transport),
  connected_ms: number('double precision', ({ connectedAtMs }) => connectedAtMs),
  is_announced: flag(({ isAnnounced }) => isAnnounced),
});

/** A connection that another node took over as lost belongs to this node again. */
const ADD = {
  name: 'add-realtime-connections',
  text: `
    INSERT INTO realtime_connections (id, node_id, owner_id, user_id, client_id, address, transport, connected_at, is_announced)
    SELECT c.id, $1, c.owner_id, c.user_id, c.client_id, c.address, c.transport, to_timestamp(c.connected_ms / 1000), c.is_announced
      FROM ${ADDED.unnest('c', 2)}
     ORDER BY c.id
    ON CONFLICT (id) DO UPDATE SET node_id = excluded.node_id, ended_at = NULL`,
};

const REMOVE = {
  name: 'remove-realtime-connections',
  text: `DELETE FROM realtime_connections WHERE id = ANY (${texts(2)}) AND node_id = $1`,
};

/** If the node that takes them over dies as well, they are taken over again. */
const TAKE_OVER = {
  name: 'take-over-realtime-connections',
  text: `
    UPDATE realtime_connections c
       SET node_id = $1, ended_at = coalesce(c.ended_at, lost.seen_at)
      FROM (SELECT l.id, n.until - $2 * interval '1 ms' AS seen_at
              FROM realtime_connections l JOIN nodes n ON n.id = l.node_id
             WHERE n.is_lost ORDER BY l.id LIMIT $3 FOR UPDATE OF l SKIP LOCKED) lost
     WHERE c.id = lost.id
    RETURNING c.id, c.owner_id, c.user_id, c.client_id, c.address, c.transport, c.connected_at, c.is_announced, c.ended_at`,
};

/**
 * Those whose `client-connected` is in the event log. It is written within moments, and all nodes have
 * the time of the database, so only so much of the owner's log is read.
 */
const ANNOUNCED = {
  name: 'announced-realtime-connections',
  text: `
    SELECT c.id FROM unnest(${texts(1)}, ${texts(2)}, ${texts(3)}, ${texts(4)}) AS c(id, owner_id, from_id, to_id)
     WHERE EXISTS (
       SELECT 1 FROM events e
        WHERE e.owner_id = c.owner_id AND e.id >= c.from_id AND e.id < c.to_id
          AND e.type = 'client-connected' AND e.subject = c.id)`,
};

const LIST = {
  name: 'list-realtime-connections',
  text: `
    SELECT c.id, c.owner_id, c.user_id, c.client_id, c.address, c.transport, c.connected_at, c.is_announced
      FROM realtime_connections c JOIN nodes n ON n.id = c.node_id
     WHERE c.ended_at IS NULL AND n.until > now() AND NOT n.is_lost
       AND ($1::text IS NULL OR c.owner_id = $1) AND ($2::text IS NULL OR c.transport = $2)
       AND ($3::text IS NULL OR c.id < $3)
     ORDER BY c.id DESC LIMIT $4`,
};

const OWNER_OF = {
  name: 'owner-of-realtime-connection',
  text: `SELECT owner_id FROM realtime_connections WHERE id = $1 AND ended_at IS NULL`,
};

/** The register of all connections, with the node of each; it outlives the nodes. */
@Injectable()
export class ConnectionRegisterStore {
  constructor(private readonly postgres: PostgresClient) {}

  async add(nodeId: string, connections: readonly RegisteredConnection[]): Promise<void> {
    if (connections.length === 0) return;
    await this.postgres.run(ADD, [nodeId, ...ADDED.values(connections)]);
  }

  /** Those that still belong to this node. */
  async remove(nodeId: string, ids: readonly string[]): Promise<void> {
    if (ids.length > 0) await this.postgres.run(REMOVE, [nodeId, textColumn(ids, (id) => id)]);
  }

  /** Takes over connections of lost nodes, at most so many. */
  async takeOver(nodeId: string, leaseMs: number, limit: number): Promise<LostConnection[]> {
    const rows = await this.postgres.run<Row & { ended_at: Date }>(TAKE_OVER, [
      nodeId,
      leaseMs,
      limit,
    ]);
    return rows.map((row) => ({ ...registered(row), endedAtMs: row.ended_at.getTime() }));
  }

  /** Ids of those whose `client-connected` was written to the event log. */
  async announced(connections: readonly RegisteredConnection[]): Promise<Set<string>> {
    const rows = await this.postgres.run<{ id: string }>(ANNOUNCED, [
      textColumn(connections, ({ id }) => id),
      textColumn(connections, ({ ownerId }) => ownerId),
      textColumn(connections, ({ connectedAtMs }) => eventIdAt(connectedAtMs - CLOCK_MARGIN_MS)),
      textColumn(connections, ({ connectedAtMs }) =>
        eventIdAt(connectedAtMs + ANNOUNCED_WITHIN_MS),
      ),
    ]);
    return new Set(rows.map(({ id }) => id));
  }

  /** Undefined: there is no such connection, or it was opened a moment ago. */
  async ownerOf(id: string): Promise<string | undefined> {
    return (await this.postgres.run<Pick<Row, 'owner_id'>>(OWNER_OF, [id]))[0]?.owner_id;
  }

  /** Those of nodes that are alive, the newest first. */
  async list(filter: ConnectionFilter): Promise<RegisteredConnection[]> {
    const { ownerId = null, transport = null, before = null, limit } = filter;
    const rows = await this.postgres.run<Row>(LIST, [ownerId, transport, before, limit]);
    return rows.map(registered);
  }
}

/** The first event id of this millisecond. */
const eventIdAt = (ms: number): string => `evt_${firstSuffixAt(ms)}`;

const registered = (row: Row): RegisteredConnection => ({
  id: row.id,
  ownerId: row.owner_id,
  userId: row.user_id,
  clientId: row.client_id ?? undefined,
  address: row.address,
  transport: row.transport,
  connectedAtMs: row.connected_at.getTime(),
  isAnnounced: row.is_announced,
});

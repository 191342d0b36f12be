import { Injectable } from '@nestjs/common';
import { literalColumn, textColumn, texts } from '../../database/bulk.js';
import { PostgresClient } from '../../database/postgres.client.js';
import type { Transport } from '../connections/realtime.connection.js';

/** What the register knows of a connection. */
export interface RegisteredConnection {
  id: string;
  ownerId: string;
  transport: Transport;
  /** Milliseconds since 1970. */
  connectedAtMs: number;
  /** Whether there is an event about it, so that there has to be one about its end. */
  isAnnounced: boolean;
}

/** One whose process has died. */
export interface LostConnection extends RegisteredConnection {
  /** When that was last seen. */
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
  transport: Transport;
  connected_at: Date;
  is_announced: boolean;
}

const ENTER = {
  name: 'enter-realtime-node',
  text: `INSERT INTO realtime_nodes (id, until, is_lost)
         VALUES ($1, now() + $2 * interval '1 ms', false)`,
};

const RENEW = {
  name: 'renew-realtime-node',
  text: `UPDATE realtime_nodes SET until = now() + $2 * interval '1 ms'
          WHERE id = $1 AND NOT is_lost RETURNING id`,
};

/** With connections that are left its end is now, and others take them over. */
const LEAVE = {
  name: 'leave-realtime-node',
  text: `
    WITH empty AS (
      DELETE FROM realtime_nodes WHERE id = $1
         AND NOT EXISTS (SELECT 1 FROM realtime_connections WHERE node_id = $1)
      RETURNING id)
    UPDATE realtime_nodes SET until = now() WHERE id = $1 AND id NOT IN (SELECT id FROM empty)`,
};

/** A connection that was taken for lost is nobody else's any more. */
const ADD = {
  name: 'add-realtime-connections',
  text: `
    INSERT INTO realtime_connections (id, node_id, owner_id, transport, connected_at, is_announced)
    SELECT c.id, $1, c.owner_id, c.transport, to_timestamp(c.connected_ms / 1000), c.is_announced
      FROM unnest(${texts(2)}, ${texts(3)}, ${texts(4)}, $5::float8[], $6::boolean[])
        AS c(id, owner_id, transport, connected_ms, is_announced)
     ORDER BY c.id
    ON CONFLICT (id) DO UPDATE SET node_id = excluded.node_id, ended_at = NULL`,
};

const REMOVE = {
  name: 'remove-realtime-connections',
  text: `DELETE FROM realtime_connections WHERE id = ANY (${texts(2)}) AND node_id = $1`,
};

/** Those of processes long gone and without connections are forgotten. */
const MARK_LOST = {
  name: 'mark-lost-realtime-nodes',
  text: `
    WITH forgotten AS (
      DELETE FROM realtime_nodes n WHERE n.is_lost AND n.until < now() - interval '1 hour'
         AND NOT EXISTS (SELECT 1 FROM realtime_connections c WHERE c.node_id = n.id))
    UPDATE realtime_nodes SET is_lost = true WHERE until <= now() AND NOT is_lost AND id <> $1`,
};

/** Whoever takes them over and dies as well is itself lost, and they are taken over again. */
const TAKE_OVER = {
  name: 'take-over-realtime-connections',
  text: `
    UPDATE realtime_connections c
       SET node_id = $1, ended_at = coalesce(c.ended_at, lost.seen_at)
      FROM (SELECT l.id, n.until - $2 * interval '1 ms' AS seen_at
              FROM realtime_connections l JOIN realtime_nodes n ON n.id = l.node_id
             WHERE n.is_lost ORDER BY l.id LIMIT $3 FOR UPDATE OF l SKIP LOCKED) lost
     WHERE c.id = lost.id
    RETURNING c.id, c.owner_id, c.transport, c.connected_at, c.is_announced, c.ended_at`,
};

const LIST = {
  name: 'list-realtime-connections',
  text: `
    SELECT c.id, c.owner_id, c.transport, c.connected_at, c.is_announced
      FROM realtime_connections c JOIN realtime_nodes n ON n.id = c.node_id
     WHERE c.ended_at IS NULL AND n.until > now() AND NOT n.is_lost
       AND ($1::text IS NULL OR c.owner_id = $1) AND ($2::text IS NULL OR c.transport = $2)
       AND ($3::text IS NULL OR c.id < $3)
     ORDER BY c.id DESC LIMIT $4`,
};

const HAS = {
  name: 'has-realtime-connection',
  text: `SELECT 1 AS one FROM realtime_connections WHERE id = $1 AND ended_at IS NULL`,
};

/** Who is connected to which process, so that the end of a process is not the end of that knowledge. */
@Injectable()
export class ConnectionRegisterStore {
  constructor(private readonly postgres: PostgresClient) {}

  async enter(nodeId: string, leaseMs: number): Promise<void> {
    await this.postgres.run(ENTER, [nodeId, leaseMs]);
  }

  /** @returns false: others have taken the process for dead */
  async renew(nodeId: string, leaseMs: number): Promise<boolean> {
    return (await this.postgres.run(RENEW, [nodeId, leaseMs])).length > 0;
  }

  async leave(nodeId: string): Promise<void> {
    await this.postgres.run(LEAVE, [nodeId]);
  }

  async add(nodeId: string, connections: readonly RegisteredConnection[]): Promise<void> {
    if (connections.length === 0) return;
    await this.postgres.run(ADD, [
      nodeId,
      textColumn(connections, ({ id }) => id),
      textColumn(connections, ({ ownerId }) => ownerId),
      textColumn(connections, ({ transport }) => transport),
      literalColumn(connections, ({ connectedAtMs }) => connectedAtMs),
      literalColumn(connections, ({ isAnnounced }) => isAnnounced),
    ]);
  }

  /** Those that are still this process's own. */
  async remove(nodeId: string, ids: readonly string[]): Promise<void> {
    if (ids.length > 0) await this.postgres.run(REMOVE, [nodeId, textColumn(ids, (id) => id)]);
  }

  /** Takes over connections of processes whose lease has ended, at most so many. */
  async takeOver(nodeId: string, leaseMs: number, limit: number): Promise<LostConnection[]> {
    await this.postgres.run(MARK_LOST, [nodeId]);
    const rows = await this.postgres.run<Row & { ended_at: Date }>(TAKE_OVER, [
      nodeId,
      leaseMs,
      limit,
    ]);
    return rows.map((row) => ({ ...registered(row), endedAtMs: row.ended_at.getTime() }));
  }

  async has(id: string): Promise<boolean> {
    return (await this.postgres.run(HAS, [id])).length > 0;
  }

  /** Those that live, the newest first. */
  async list(filter: ConnectionFilter): Promise<RegisteredConnection[]> {
    const { ownerId = null, transport = null, before = null, limit } = filter;
    const rows = await this.postgres.run<Row>(LIST, [ownerId, transport, before, limit]);
    return rows.map(registered);
  }
}

const registered = (row: Row): RegisteredConnection => ({
  id: row.id,
  ownerId: row.owner_id,
  transport: row.transport,
  connectedAtMs: row.connected_at.getTime(),
  isAnnounced: row.is_announced,
});

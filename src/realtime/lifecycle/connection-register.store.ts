import { Injectable } from '@nestjs/common';
import { bulk, flag, number, text, textColumn, textList, texts } from '../../database/bulk.js';
import { PostgresClient } from '../../database/postgres.client.js';
import { firstSuffixAt } from '../../shared/ids.js';
import type { Transport } from '../connections/realtime.connection.js';
import { type RealtimeTotals, TOTALS } from './realtime-totals.store.js';

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
  /** Its number among all connections of the owner, from 1; the register gives it. */
  clientNumber?: number | undefined;
}

/** A connection of which the register is given notice. */
export interface RegisterEntry {
  connection: RegisteredConnection;
  /** It was opened; otherwise it has ended, and its row is removed later. */
  isOpened: boolean;
  /** It gets a row: it is still open. */
  isKept: boolean;
}

/** What the register says of an entry. */
export interface Entered {
  clientNumber?: number | undefined;
  /** It is counted now, and was not before. */
  isNew: boolean;
  /** Those of its owner, with all entries that are kept, and before any row is removed. */
  totals: RealtimeTotals;
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
  /** As text. */
  client_number: string | null;
}

const ENTRIES = bulk<RegisterEntry>({
  id: text(({ connection }) => connection.id),
  owner_id: text(({ connection }) => connection.ownerId),
  user_id: text(({ connection }) => connection.userId),
  client_id: text(({ connection }) => connection.clientId ?? null),
  address: text(({ connection }) => connection.address),
  transport: text(({ connection }) => connection.transport),
  connected_ms: number('double precision', ({ connection }) => connection.connectedAtMs),
  is_announced: flag(({ connection }) => connection.isAnnounced),
  client_number: number('bigint', ({ connection }) => connection.clientNumber),
  is_opened: flag(({ isOpened }) => isOpened),
  is_kept: flag(({ isKept }) => isKept),
});

/**
 * Numbers the connections that are new, counts them, and writes the rows of those that are kept. One that
 * has a row already (it is entered again after an error, or another node took it over as lost) belongs to
 * this node again, under its number. The owner's totals are locked first, in the same order everywhere.
 *
 * The totals are looked up in an object: the planner does not know how many rows there are, and would
 * compare each with each.
 */
const ENTER = {
  name: 'enter-realtime-connections',
  text: `
    WITH given AS (
      SELECT c.*, c.is_opened AND r.id IS NULL AS is_new, coalesce(r.client_number, c.client_number) AS known
        FROM ${ENTRIES.unnest('c', 2, 'place')} LEFT JOIN realtime_connections r ON r.id = c.id),
    counted AS (
      INSERT INTO realtime_totals AS t (owner_id, opened, active, messages)
      SELECT g.owner_id, count(*) FILTER (WHERE g.known IS NULL), count(*) FILTER (WHERE g.is_kept), 0
        FROM given g WHERE g.is_new GROUP BY g.owner_id ORDER BY g.owner_id COLLATE "C"
      ON CONFLICT (owner_id) DO UPDATE SET opened = t.opened + excluded.opened, active = t.active + excluded.active
      RETURNING t.owner_id, t.opened, t.active, t.messages),
    totals AS (
      SELECT coalesce(jsonb_object_agg(owner_id, jsonb_build_array(opened, active, messages)), '{}') AS by_owner FROM counted),
    numbered AS (
      SELECT g.*, CASE WHEN g.is_new AND g.known IS NULL
               THEN (t.by_owner -> g.owner_id ->> 0)::bigint
                 - count(*) FILTER (WHERE g.is_new AND g.known IS NULL) OVER (PARTITION BY g.owner_id)
                 + count(*) FILTER (WHERE g.is_new AND g.known IS NULL) OVER (PARTITION BY g.owner_id ORDER BY g.place)
               ELSE g.known END AS number
        FROM given g CROSS JOIN totals t),
    added AS (
      INSERT INTO realtime_connections
             (id, node_id, owner_id, user_id, client_id, address, transport, connected_at, is_announced, client_number)
      SELECT n.id, $1, n.owner_id, n.user_id, n.client_id, n.address, n.transport,
             to_timestamp(n.connected_ms / 1000), n.is_announced, n.number
        FROM numbered n WHERE n.is_opened AND n.is_kept ORDER BY n.id
      ON CONFLICT (id) DO UPDATE SET node_id = excluded.node_id, ended_at = NULL)
    SELECT n.id, n.is_new, n.number AS client_number, ${TOTALS('o')}
      FROM numbered n CROSS JOIN totals t
      LEFT JOIN realtime_totals r ON r.owner_id = n.owner_id AND NOT t.by_owner ? n.owner_id
      CROSS JOIN LATERAL (
        SELECT coalesce((t.by_owner -> n.owner_id ->> 0)::bigint, r.opened, 0) AS opened,
               coalesce((t.by_owner -> n.owner_id ->> 1)::bigint, r.active, 0) AS active,
               coalesce((t.by_owner -> n.owner_id ->> 2)::bigint, r.messages, 0) AS messages) o`,
};

/** Those that this node still has. Locks the totals of their owners first, as {@link ENTER} does. */
const REMOVE = {
  name: 'remove-realtime-connections',
  text: `
    WITH locked AS (
      SELECT owner_id FROM realtime_totals WHERE owner_id = ANY (${texts(3)}) ORDER BY owner_id FOR UPDATE),
    gone AS (
      DELETE FROM realtime_connections
       WHERE id = ANY (${texts(2)}) AND node_id = $1 AND (SELECT count(*) FROM locked) >= 0
      RETURNING owner_id)
    UPDATE realtime_totals t SET active = greatest(0, t.active - g.ended)
      FROM (SELECT owner_id, count(*) AS ended FROM gone GROUP BY owner_id) g
     WHERE t.owner_id = g.owner_id`,
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
    RETURNING c.id, c.owner_id, c.user_id, c.client_id, c.address, c.transport, c.connected_at, c.is_announced, c.client_number, c.ended_at`,
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
    SELECT c.id, c.owner_id, c.user_id, c.client_id, c.address, c.transport, c.connected_at, c.is_announced, c.client_number
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

  /** @returns by the id of the connection */
  async enter(nodeId: string, entries: readonly RegisterEntry[]): Promise<Map<string, Entered>> {
    if (entries.length === 0) return new Map();
    const rows = await this.postgres.run<EnteredRow>(ENTER, [nodeId, ...ENTRIES.values(entries)]);
    return new Map(
      rows.map(({ id, is_new: isNew, client_number: clientNumber, ...totals }) => [
        id,
        { clientNumber: numberOf(clientNumber), isNew, totals },
      ]),
    );
  }

  /** Those that still belong to this node. */
  async remove(nodeId: string, connections: readonly RegisteredConnection[]): Promise<void> {
    if (connections.length === 0) return;
    const ids = connections.map(({ id }) => id);
    const owners = new Set(connections.map(({ ownerId }) => ownerId));
    await this.postgres.run(REMOVE, [nodeId, textList(ids), textList([...owners])]);
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

type EnteredRow = RealtimeTotals & {
  id: string;
  is_new: boolean;
  client_number: string | null;
};

const numberOf = (value: string | null): number | undefined =>
  value === null ? undefined : Number(value);

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
  clientNumber: numberOf(row.client_number),
});

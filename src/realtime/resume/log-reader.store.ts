import { Injectable } from '@nestjs/common';
import { isOrdinarySql, matchesSql, selectsSystemEvents } from '../../shared/event-pattern.js';
import { reachesSql } from '../../shared/visibility.js';
import { textColumn, texts } from '../../database/bulk.js';
import { PostgresClient } from '../../database/postgres.client.js';
import type { RealtimeEvent } from '../../shared/envelope.js';
import { channelKey, isChannelTopic, nameKey, type Topic, type TypeTopic } from '../topic.js';
import { type LastEvents, newestOf } from './last-events.js';
import type { LoggedEvent } from './log-page.js';
import type { LogMoment } from './log-position.js';
import {
  type ReorderWindow,
  reorderWindowStart,
  type ResumePoint,
  type LogPosition,
  Snapshot,
} from './resume-point.js';

/** The events that a client may receive and has subscribed to. */
export interface LogScope {
  /** Null: of every owner. */
  ownerId: string | null;
  topics: readonly Topic[];
  /** The types that the channels among the topics have at the moment, of those it may receive. */
  channelTypes?: readonly ChannelType[];
}

export interface ChannelType {
  type: string;
  channel: string;
}

export interface LogPageRequest {
  scope: LogScope;
  /** Exclusive. */
  from: LogPosition;
  /** Ids below this one are left out. */
  lowestId: string;
  /** Events that this snapshot saw are left out, too, */
  snapshot: Snapshot;
  /** unless they are in the reorder window. */
  reorderWindow: ReorderWindow;
}

/** A page of the log, and where the next one begins. */
export interface LogPage {
  events: LoggedEvent[];
  /** Undefined: this was the end of the log at the moment of the query. */
  next: LogPosition | undefined;
}

interface ResumePointRow {
  owner_id: string | null;
  type: string;
  subject: string | null;
  tx: string;
  tx_snapshot: string;
  published_by: number | null;
  reorderable_tx: string | null;
}

interface EventRow {
  id: string;
  owner_id: string | null;
  type: string;
  subject: string | null;
  body: string;
}

/** A page without matching events is one row without an event. */
interface PageRow extends Omit<EventRow, 'id'> {
  tx: string;
  published_by: number | null;
  id: string | null;
  last_tx: string | null;
  last_id: string | null;
  scanned: number;
}

/**
 * Rows that one page reads, however few match: the work for a client is bounded even if little of the
 * log is meant for it.
 */
const PAGE_ROWS = 2_000;

/** Transactions of another installation, whose log was restored here, cannot be compared. */
const RESUME_POINT = {
  name: 'log-resume-point',
  text: `
    SELECT l.owner_id, l.type, l.subject, l.tx, l.tx_snapshot, l.published_by,
           (SELECT min(e.tx) FROM events e
             WHERE e.id >= $2 AND e.tx <= l.tx AND (e.published_by = l.published_by) IS NOT TRUE) AS reorderable_tx
      FROM events l
     WHERE l.id = $1 AND l.tx < pg_snapshot_xmax(pg_current_snapshot())::text::bigint`,
};

const IS_VISIBLE = `
  ${reachesSql('$5::text', 'page.owner_id')}
  AND EXISTS (
    SELECT 1 FROM unnest(${texts(6)}, ${texts(7)}) AS topic(type, subject)
     WHERE (topic.subject IS NULL OR topic.subject = page.subject)
       AND (${matchesSql('topic.type', 'page.type')} OR topic.type = page.channel))`;

/**
 * Many clients that reconnect cause thousands of system events: $8 says whether one is wanted. A topic of
 * a channel has the key of the channel instead of a type, and $11 and $12 say which types that means.
 */
const PAGE = {
  name: 'log-page',
  text: `
    WITH page AS MATERIALIZED (
      SELECT tx, id, owner_id, type, subject, body, published_by,
             (SELECT c.key FROM unnest(${texts(11)}, ${texts(12)}) AS c(type, key) WHERE c.type = events.type LIMIT 1) AS channel
        FROM events
       WHERE (tx, id) > ($1::bigint, $2::text) AND id >= $3
         AND ($8 OR ${isOrdinarySql('type')})
       ORDER BY tx, id LIMIT ${PAGE_ROWS}),
    visible AS (
      SELECT * FROM page
       WHERE (NOT pg_visible_in_snapshot(tx::text::xid8, $4::pg_snapshot)
              OR id >= $9 AND (published_by = $10::integer) IS NOT TRUE)
         AND ${IS_VISIBLE}),
    last AS (SELECT tx, id FROM page ORDER BY tx DESC, id DESC LIMIT 1)
    SELECT v.tx, v.id, v.owner_id, v.type, v.subject, v.body, v.published_by,
           (SELECT tx FROM last) AS last_tx, (SELECT id FROM last) AS last_id,
           (SELECT count(*)::int FROM page) AS scanned
      FROM (VALUES (1)) AS always(one) LEFT JOIN visible v ON true
     ORDER BY v.tx, v.id`,
};

/**
 * Rows of the log that a search for the newest events of a topic reads, of one owner and of the public
 * events: a subject of which there was no event lately costs no more.
 */
export const LAST_ROWS = 10_000;

/** One row per event that was found; the row of the floor says where the search has stopped. */
interface LastRow extends EventRow {
  tx: string;
  published_by: number | null;
  floor: boolean;
}

/** The newest events of the rows under a condition; and if there are too few, the last row of the search. */
const newest = (name: string, condition: string): string => `
    ${name}_found AS MATERIALIZED (
      SELECT * FROM (
        SELECT tx, id, owner_id, type, subject, body, published_by FROM events
         WHERE ${condition} ORDER BY id DESC LIMIT ${LAST_ROWS}) AS page
       WHERE ($3::text IS NULL OR page.subject = $3) AND ${matchesSql('$2::text', 'page.type')}
       ORDER BY id DESC LIMIT $1::int),
    ${name}_floor AS (
      SELECT id FROM events
       WHERE (SELECT count(*) FROM ${name}_found) < $1::int AND ${condition}
       ORDER BY id DESC OFFSET ${LAST_ROWS - 1} LIMIT 1)`;

const rowsOf = (name: string): string => `
    SELECT coalesce(tx, 0) AS tx, id, owner_id, type, subject, body, published_by, false AS floor
      FROM ${name}_found
    UNION ALL
    SELECT 0::bigint, id, NULL, '', NULL, '', NULL, true FROM ${name}_floor`;

const LAST_OF_OWNER = {
  name: 'log-last-of-owner',
  text: `
    WITH ${newest('own', 'owner_id = $4::text')}, ${newest('public', 'owner_id IS NULL')}
    ${rowsOf('own')} UNION ALL ${rowsOf('public')}`,
};

const LAST_OF_ALL = {
  name: 'log-last-of-all',
  text: `WITH ${newest('every', 'true')} ${rowsOf('every')}`,
};

const MOMENT = {
  name: 'log-moment',
  text: `
    SELECT pg_current_snapshot()::text AS snapshot,
           extract(epoch FROM clock_timestamp())::double precision * 1000 AS at_ms`,
};

/** Ids only: nearly all of them were delivered already. */
const BETWEEN = {
  name: 'log-between',
  text: `
    SELECT id FROM events
     WHERE tx >= pg_snapshot_xmin($1::pg_snapshot)::text::bigint
       AND tx < pg_snapshot_xmax($2::pg_snapshot)::text::bigint
       AND NOT pg_visible_in_snapshot(tx::text::xid8, $1::pg_snapshot)
       AND pg_visible_in_snapshot(tx::text::xid8, $2::pg_snapshot)
     ORDER BY tx, id`,
};

const BY_ID = {
  name: 'log-events',
  text: `
    SELECT id, owner_id, type, subject, body FROM events WHERE id = ANY (${texts(1)})
     ORDER BY tx, id`,
};

/** The event log, read for clients that resume and for the gap filler. */
@Injectable()
export class LogReaderStore {
  constructor(private readonly postgres: PostgresClient) {}

  /** Undefined: retention has dropped the event, or it never existed. */
  async resumePoint(eventId: string): Promise<ResumePoint | undefined> {
    const values = [eventId, reorderWindowStart(eventId)];
    const [row] = await this.postgres.run<ResumePointRow>(RESUME_POINT, values);
    return (
      row && {
        audience: { ownerId: row.owner_id, type: row.type, subject: row.subject },
        reorderFromId: reorderWindowStart(eventId),
        position: { tx: row.tx, id: eventId },
        publishedBy: row.published_by,
        snapshot: new Snapshot(row.tx_snapshot, BigInt(row.tx)),
        reorderableTx: row.reorderable_tx === null ? undefined : BigInt(row.reorderable_tx),
      }
    );
  }

  /** The matching events of the next rows of the log. */
  async page({ scope, from, lowestId, snapshot, reorderWindow }: LogPageRequest): Promise<LogPage> {
    const { ownerId, topics, channelTypes = [] } = scope;
    const rows = await this.postgres.run<PageRow>(PAGE, [
      from.tx,
      from.id,
      lowestId,
      snapshot.text,
      ownerId,
      textColumn(topics, nameKey),
      textColumn(topics, ({ subject }) => subject),
      topics.some((topic) => !isChannelTopic(topic) && selectsSystemEvents(topic.type)),
      reorderWindow.fromId,
      reorderWindow.publishedBy,
      textColumn(channelTypes, ({ type }) => type),
      textColumn(channelTypes, ({ channel }) => channelKey(channel)),
    ]);
    const { scanned, last_tx: tx, last_id: id } = rows[0]!;
    const isEnd = scanned < PAGE_ROWS || tx === null || id === null;
    return { events: rows.flatMap(loggedEvent), next: isEnd ? undefined : { tx, id } };
  }

  /** The newest events of a topic that an owner may receive; null: of every owner. */
  async last(
    ownerId: string | null,
    { type, subject }: TypeTopic,
    count: number,
  ): Promise<LastEvents> {
    const values = [count, type, subject ?? null];
    const rows = await (ownerId === null
      ? this.postgres.run<LastRow>(LAST_OF_ALL, values)
      : this.postgres.run<LastRow>(LAST_OF_OWNER, [...values, ownerId]));
    const floors = rows.filter(({ floor }) => floor).map(({ id }) => id);
    return newestOf(rows.filter(({ floor }) => !floor).flatMap(loggedEvent), count, floors);
  }

  /** What is committed now, to compare with later. */
  async moment(): Promise<LogMoment> {
    const [row] = await this.postgres.run<{ snapshot: string; at_ms: number }>(MOMENT, []);
    return { snapshot: row!.snapshot, atMs: row!.at_ms };
  }

  /** Ids of the events that were committed after one snapshot and before another. */
  async committedBetween(earlier: string, later: string): Promise<string[]> {
    const rows = await this.postgres.run<{ id: string }>(BETWEEN, [earlier, later]);
    return rows.map(({ id }) => id);
  }

  async events(ids: readonly string[]): Promise<RealtimeEvent[]> {
    const rows = await this.postgres.run<EventRow>(BY_ID, [textColumn(ids, (id) => id)]);
    return rows.map(event);
  }
}

const event = ({ id, owner_id, type, subject, body }: EventRow): RealtimeEvent => ({
  id,
  ownerId: owner_id,
  type,
  subject,
  body,
});

const loggedEvent = ({
  id,
  tx,
  published_by: publishedBy,
  ...row
}: Omit<PageRow, 'last_tx' | 'last_id' | 'scanned'>): LoggedEvent[] =>
  id === null ? [] : [{ tx, publishedBy, ...event({ id, ...row }) }];

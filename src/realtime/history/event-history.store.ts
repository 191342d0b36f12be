import { Injectable } from '@nestjs/common';
import { matches } from '../../common/event-pattern.js';
import { firstSuffixAt, timeOf } from '../../common/ids.js';
import { SYSTEM_EVENT_TYPES } from '../../common/system-event-types.js';
import { textColumn, texts } from '../../database/columns.js';
import { PostgresClient } from '../../database/postgres.client.js';
import type { Audience } from '../rooms.js';
import type { RealtimeEvent } from '../realtime-event.js';
import type { Topic } from '../topics.js';

/**
 * Order of the log: by transaction, then by id. What a reader has not seen yet follows from what the
 * event that it saw last could not see itself; ids alone would skip whatever commits late.
 */
export interface LogPosition {
  tx: string;
  id: string;
}

/** An event of the log as a place to go on from. */
export interface Landmark extends Audience {
  position: LogPosition;
  /** `pg_snapshot`: the transactions that had committed when it was written. */
  snapshot: string;
  /** The oldest transaction that it can have missed. */
  horizon: string;
}

/** A part of the log, and how far it goes. */
export interface LogPage {
  events: RealtimeEvent[];
  /** Undefined: this was the end of the log, as it was at the moment of the query. */
  next: LogPosition | undefined;
}

interface LandmarkRow {
  owner_id: string | null;
  type: string;
  subject: string | null;
  tx: string;
  tx_snapshot: string;
  horizon: string;
}

interface EventRow {
  id: string | null;
  owner_id: string | null;
  type: string;
  subject: string | null;
  body: string;
  last_tx: string | null;
  last_id: string | null;
  scanned: number;
}

/**
 * Rows that one page looks at, whatever matches: the work for a client is bounded however little of
 * the log is meant for it.
 */
const PAGE_ROWS = 2_000;

/** No transaction that publishes lasts longer; it lets the planner leave out older partitions. */
const LONGEST_TRANSACTION_MS = 86_400_000;

/** Transactions of another installation, whose log was restored here, tell nothing. */
const LANDMARK = {
  name: 'log-landmark',
  text: `
    SELECT owner_id, type, subject, tx, tx_snapshot,
           pg_snapshot_xmin(tx_snapshot::pg_snapshot)::text AS horizon
      FROM events
     WHERE id = $1 AND tx < pg_snapshot_xmax(pg_current_snapshot())::text::bigint`,
};

/** Which `*` does not subscribe to; see patternsOf. */
const SYSTEM_TYPES = SYSTEM_EVENT_TYPES.map((type) => `'${type}'`).join(', ');

/** A crowd that comes back writes thousands of them, which nobody in it has asked for. */
const namesSystemType = (pattern: string): boolean =>
  pattern !== '*' && SYSTEM_EVENT_TYPES.some((type) => matches(pattern, type));

const IS_HEARD = `
  ($7 OR page.owner_id = $8 OR page.owner_id IS NULL)
  AND EXISTS (
    SELECT 1 FROM unnest(${texts(9)}, ${texts(10)}) AS topic(type, subject)
     WHERE (topic.subject IS NULL OR topic.subject = page.subject)
       AND (topic.type = page.type
            OR topic.type = '*' AND page.type <> ALL (ARRAY[${SYSTEM_TYPES}])
            OR right(topic.type, 2) = '.*' AND starts_with(page.type, left(topic.type, -1))))`;

const PAGE = {
  name: 'log-page',
  text: `
    WITH page AS MATERIALIZED (
      SELECT tx, id, owner_id, type, subject, body FROM events
       WHERE (tx, id) > ($1::bigint, $2::text) AND id >= $3
         AND ($11 OR type <> ALL (ARRAY[${SYSTEM_TYPES}]))
       ORDER BY tx, id LIMIT ${PAGE_ROWS}),
    heard AS (
      SELECT * FROM page
       WHERE NOT pg_visible_in_snapshot(tx::text::xid8, $4::pg_snapshot)
         AND (tx <> $5::bigint OR id > $6) AND ${IS_HEARD}),
    last AS (SELECT tx, id FROM page ORDER BY tx DESC, id DESC LIMIT 1)
    SELECT heard.id, heard.owner_id, heard.type, heard.subject, heard.body,
           (SELECT tx FROM last) AS last_tx, (SELECT id FROM last) AS last_id,
           (SELECT count(*)::int FROM page) AS scanned
      FROM (VALUES (1)) AS always(one) LEFT JOIN heard ON true
     ORDER BY heard.tx, heard.id`,
};

const MOMENT = { name: 'log-moment', text: `SELECT pg_current_snapshot()::text AS moment` };

/** Ids only: nearly all of them have been heard of. */
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

/** The event log as clients read it that have missed something. */
@Injectable()
export class EventHistoryStore {
  constructor(private readonly postgres: PostgresClient) {}

  /** Undefined: retention has dropped the event, or it never was. */
  async landmark(eventId: string): Promise<Landmark | undefined> {
    const [row] = await this.postgres.run<LandmarkRow>(LANDMARK, [eventId]);
    return (
      row && {
        ownerId: row.owner_id,
        type: row.type,
        subject: row.subject,
        position: { tx: row.tx, id: eventId },
        snapshot: row.tx_snapshot,
        horizon: row.horizon,
      }
    );
  }

  /**
   * What somebody who has seen the landmark has missed, page by page.
   * @param ownerId null: of every owner
   */
  async page(
    landmark: Landmark,
    from: LogPosition,
    { ownerId, topics }: { ownerId: string | null; topics: readonly Topic[] },
  ): Promise<LogPage> {
    const { position, snapshot } = landmark;
    const rows = await this.postgres.run<EventRow>(PAGE, [
      from.tx,
      from.id,
      `evt_${firstSuffixAt(timeOf(position.id) - LONGEST_TRANSACTION_MS)}`,
      snapshot,
      position.tx,
      position.id,
      ownerId === null,
      ownerId,
      textColumn(topics, ({ type }) => type),
      textColumn(topics, ({ subject }) => subject),
      topics.some(({ type }) => namesSystemType(type)),
    ]);
    const { scanned, last_tx: tx, last_id: id } = rows[0]!;
    const isEnd = scanned < PAGE_ROWS || tx === null || id === null;
    return { events: rows.flatMap(toEvent), next: isEnd ? undefined : { tx, id } };
  }

  /** The present, as something to compare with later. */
  async moment(): Promise<string> {
    const [row] = await this.postgres.run<{ moment: string }>(MOMENT, []);
    return row!.moment;
  }

  /** Ids of the events that were committed after one moment and before another. */
  async committedBetween(earlier: string, later: string): Promise<string[]> {
    const rows = await this.postgres.run<{ id: string }>(BETWEEN, [earlier, later]);
    return rows.map(({ id }) => id);
  }

  async events(ids: readonly string[]): Promise<RealtimeEvent[]> {
    const rows = await this.postgres.run<EventRow>(BY_ID, [ids.join('\u001e')]);
    return rows.flatMap(toEvent);
  }
}

const toEvent = ({ id, owner_id, type, subject, body }: EventRow): RealtimeEvent[] =>
  id === null ? [] : [{ id, ownerId: owner_id, type, subject, body }];

import { Injectable } from '@nestjs/common';
import { FINAL_STATUSES } from '../shared/delivery-status.js';
import { keyIn } from '../database/keyed-lookup.js';
import { pendingEvents } from './pending-events.statements.js';
import { idAt, KEY, type LogTable } from './partition-plan.js';
import type { Session } from './retention-lock.store.js';

/** Rows that one statement examines, which takes some milliseconds. */
const PAGE = 1_000;

/** What became of a page of rows. */
export interface Page {
  /** Key of the last row; null: the page was empty. */
  last: string | null;
  deleted: number;
}

/** What became of a small deletion. */
export interface Step {
  deleted: number;
  /** Whether there may be more. */
  isMore: boolean;
}

/** The millisecond in an id, of an event or of its deliveries, as a bound of ids of events. */
const eventsAt = (key: string, end = ''): string =>
  `(SELECT 'evt_' || substr(${key}, 5, 10) || '${end}' FROM page)`;

/** $1: after this key; $2: before this one. */
const page = (table: LogTable, part: string, deletion: string): string => `
  WITH page AS MATERIALIZED (
    SELECT DISTINCT ${KEY[table]} FROM ${part}
     WHERE ${KEY[table]} > $1 AND ${KEY[table]} < $2 ORDER BY 1 LIMIT ${PAGE}),
  pending AS MATERIALIZED (
    ${pendingEvents(eventsAt(`min(${KEY[table]})`), eventsAt(`max(${KEY[table]})`, '~'))}),
  deleted AS (${deletion})
  SELECT (SELECT max(${KEY[table]}) FROM page) AS last, (SELECT count(*)::int FROM deleted) AS deleted`;

/**
 * PostgreSQL checks a row again that has changed meanwhile: one that was redriven is not deleted.
 * `OFFSET 0` keeps a subquery one that is looked up by key, per row of the page.
 */
const DELETE: Record<LogTable, (part: string) => string> = {
  deliveries: (part) => `
    DELETE FROM ${part} d
     WHERE ${keyIn('d.id', 'page')} AND d.status IN (${FINAL_STATUSES.map((s) => `'${s}'`).join(', ')})
       AND d.event_id NOT IN (SELECT event_id FROM pending)
    RETURNING d.id`,
  delivery_attempts: (part) => `
    DELETE FROM ${part} a
     WHERE ${keyIn('a.delivery_id', 'page')}
       AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.id = a.delivery_id OFFSET 0)
    RETURNING a.delivery_id`,
  events: (part) => `
    DELETE FROM ${part} e
     WHERE ${keyIn('e.id', 'page')}
       AND e.id NOT IN (SELECT event_id FROM pending)
       AND NOT EXISTS (
         SELECT 1 FROM deliveries d
          WHERE d.id >= 'dlv_' || substr(e.id, 5, 10) AND d.id < 'dlv_' || substr(e.id, 5, 10) || '~'
            AND d.event_id = e.id OFFSET 0)
    RETURNING e.id`,
};

const DELETE_KEYS = `
  DELETE FROM idempotency_keys k
   USING (SELECT owner_id, key FROM idempotency_keys WHERE created_at < to_timestamp($1 / 1000.0)
           ORDER BY created_at LIMIT ${PAGE} FOR UPDATE SKIP LOCKED) AS old
   WHERE k.owner_id = old.owner_id AND k.key = old.key`;

/** By id, which holds the time. */
const DELETE_AUDIT = `
  DELETE FROM audit_log a
   USING (SELECT id FROM audit_log WHERE id < $1 ORDER BY id LIMIT ${PAGE} FOR UPDATE SKIP LOCKED) AS old
   WHERE a.id = old.id`;

const CLOCK = `SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::float8 AS "nowMs"`;

/** Deletes row by row, in small statements, what cannot be dropped with a whole partition. */
@Injectable()
export class ExpiredRowsStore {
  /** The clock of the database, in whole milliseconds since 1970. */
  async clock(session: Session): Promise<number> {
    const { rows } = await session.query<{ nowMs: number }>(CLOCK);
    return rows[0]!.nowMs;
  }

  /**
   * Deletes, of one page of a partition, what is final and of no event that is still to be sent.
   * @param after key of the last row of the page before; '' for the first one
   * @param before suffix of ids that are young enough to stay
   */
  async deletePage(
    session: Session,
    { table, name }: { table: LogTable; name: string },
    after: string,
    before: string,
  ): Promise<Page> {
    const part = `"${name}"`;
    const { rows } = await session.query<Page>(page(table, part, DELETE[table](part)), [
      after,
      idAt(table, before),
    ]);
    return rows[0]!;
  }

  async deleteKeys(session: Session, beforeMs: number): Promise<Step> {
    const { rowCount } = await session.query(DELETE_KEYS, [beforeMs]);
    return { deleted: rowCount ?? 0, isMore: rowCount === PAGE };
  }

  /** @param before suffix of ids of entries that are young enough to stay */
  async deleteAudit(session: Session, before: string): Promise<Step> {
    const { rowCount } = await session.query(DELETE_AUDIT, [`aud_${before}`]);
    return { deleted: rowCount ?? 0, isMore: rowCount === PAGE };
  }
}

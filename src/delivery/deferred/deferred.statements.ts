import { textList, texts } from '../../database/bulk.js';
import { keyIn, rowOf } from '../../database/keyed-lookup.js';
import type { PreparedStatement } from '../../database/postgres.client.js';
import { QUARANTINE_AFTER } from '../leases/lease.js';
import type { Selection } from './selection.js';

export const IS_DEFERRED = `due_at IS NULL AND status IN ('pending', 'retrying')`;
const IS_READY = '(not_before IS NULL OR not_before <= now())';
const IS_QUARANTINED = `lost_leases >= ${QUARANTINE_AFTER}`;

/**
 * A recursive part of a WITH, `found`: the webhooks that have such deliveries. It goes from webhook to
 * webhook without reading the rows between them, so that a backlog costs one step. Its last row is null.
 * @param where SQL about columns of `deliveries`, the condition of a partial index that begins with the
 *   webhook
 */
export const webhooksWith = (where: string): string => `
  RECURSIVE found AS (
    (SELECT webhook_id FROM deliveries WHERE ${where} ORDER BY webhook_id LIMIT 1)
    UNION ALL
    SELECT (SELECT d.webhook_id FROM deliveries d
             WHERE ${where} AND d.webhook_id > found.webhook_id ORDER BY d.webhook_id LIMIT 1)
      FROM found WHERE found.webhook_id IS NOT NULL)`;

/** Which rows of a backlog, and which columns; all are SQL. `columns` includes id, event and priority. */
interface BacklogScan {
  columns: string;
  where: string;
  limit: string;
  /** `FOR UPDATE SKIP LOCKED`, or nothing. */
  lock: string;
}

/**
 * The oldest, of any priority: the heads of three ranges of the index, merged. One index, (webhook,
 * priority, event), serves both orders, because each index costs with every row that is deferred.
 */
const byAge = ({ columns, where, limit, lock }: BacklogScan): string => `
  SELECT head.* FROM (VALUES (0), (1), (2)) AS p(priority) CROSS JOIN LATERAL (
    SELECT ${columns} FROM deliveries
     WHERE ${where} AND priority = p.priority::smallint
     ORDER BY event_id LIMIT ${limit} ${lock}) AS head
   ORDER BY head.event_id LIMIT ${limit}`;

/**
 * Two parts of a WITH, `aged` and `urgent`: the few that are oldest, and of the others those that are
 * first by priority.
 * @param aged SQL: how many are to be the oldest, at most the limit
 */
const byPriority = (scan: BacklogScan, aged: string): string => `
  aged AS MATERIALIZED (${byAge({ ...scan, limit: aged })}),
  urgent AS MATERIALIZED (
    SELECT ${scan.columns} FROM deliveries
     WHERE ${scan.where} AND id NOT IN (SELECT id FROM aged)
     ORDER BY priority, event_id LIMIT ${scan.limit} - (SELECT count(*) FROM aged) ${scan.lock})`;

/** One statement for each way to find the rows. */
type BySelection = Record<Selection['kind'], PreparedStatement>;

/** The parameter that only this kind of selection has. */
export function parameterOf(selection: Selection): string | number {
  switch (selection.kind) {
    case 'urgent':
      return selection.aged;
    case 'inOrder':
      return selection.upToEvent;
    case 'these':
      return textList(selection.ids);
    case 'ofBatch':
      return selection.batchId;
  }
}

/** $5: whether to claim only those that were in no batch. */
const claimable = (readiness: string): string => `
  webhook_id = $3 AND ${IS_DEFERRED} AND ${readiness} AND (NOT $5 OR batch_id IS NULL)`;

const LOCKED: BacklogScan = {
  columns: 'id, event_id, priority',
  where: claimable(IS_READY),
  limit: '$4',
  lock: 'FOR UPDATE SKIP LOCKED',
};

/** How the rows are found, as parts of a WITH of which the last is `taken`; its parameter is $7. */
const TAKEN: Record<Selection['kind'], string> = {
  urgent: `${byPriority(LOCKED, '$7')},
  taken AS MATERIALIZED (
    SELECT id FROM (SELECT id FROM aged UNION ALL SELECT id FROM urgent) AS first LIMIT $4)`,
  inOrder: `
  taken AS MATERIALIZED (${byAge({ ...LOCKED, where: `${LOCKED.where} AND event_id <= $7` })})`,
  these: `
  taken AS MATERIALIZED (
    SELECT id FROM deliveries
     WHERE id = ANY (${texts(7)}) AND ${LOCKED.where} ORDER BY event_id LIMIT $4 ${LOCKED.lock})`,
  ofBatch: `
  taken AS MATERIALIZED (${byAge({ ...LOCKED, where: claimable('batch_id = $7') })})`,
};

/**
 * @param webhookLease a part of a WITH, `webhook_lease`, without whose row nothing is claimed; empty: none.
 *   It also writes the state of the rate window, which is durable before any request is made.
 */
const pull = (kind: Selection['kind'], webhookLease: string): string => `
  WITH ${webhookLease}${TAKEN[kind]},
  claimed AS (
    UPDATE deliveries
       SET status = 'delivering', lease_token = $1, due_at = now() + $2 * interval '1 ms',
           not_before = NULL, batch_id = $6,
           batch_start = CASE WHEN batch_id = $6 THEN batch_start WHEN $6 IS NOT NULL THEN attempts END
      ${webhookLease && 'FROM webhook_lease'} WHERE ${keyIn('id', 'taken')}
    RETURNING id, webhook_id, attempts, budget_start, batch_start, lost_leases, event_id, event_type)
  SELECT claimed.*, e.owner_id, e.body, e.priority, e.expires_at
    FROM claimed LEFT JOIN ${rowOf('events', 'owner_id, body, priority, expires_at', 'id = claimed.event_id')} AS e ON true
   ORDER BY claimed.event_id`;

const WEBHOOK_LEASE = `webhook_lease AS (
      UPDATE webhook_leases SET state = $9, state_at = now()
       WHERE webhook_id = $3 AND holder = $8 RETURNING 1),`;

const pulls = (name: string, webhookLease: string): BySelection => {
  const of = (kind: Selection['kind']) => ({
    name: `${name}-${kind}`,
    text: pull(kind, webhookLease),
  });
  return {
    urgent: of('urgent'),
    inOrder: of('inOrder'),
    these: of('these'),
    ofBatch: of('ofBatch'),
  };
};
export const PULLS = pulls('pull-deferred', '');
export const PULLS_UNDER_LEASE = pulls('pull-deferred-under-lease', WEBHOOK_LEASE);

const HEAD_COLUMNS = `
  id, event_id, priority, ${IS_QUARANTINED} AS is_quarantined, batch_id,
  coalesce(extract(epoch FROM not_before - now())::float8 * 1000, 0) AS ready_in_ms,
  extract(epoch FROM now() - created_at)::float8 * 1000 AS waited_ms`;

const SIZE = '(SELECT octet_length(e.body) FROM events e WHERE e.id = heads.event_id)';

/** @param from which heads, in which order */
const headList = (from: string, isSized: boolean): string => `
  ARRAY(
    SELECT jsonb_build_object(
      'eventId', event_id, 'readyInMs', ready_in_ms, 'isQuarantined', is_quarantined,
      'batchId', batch_id, 'waitedMs', waited_ms, 'bytes', ${isSized ? SIZE : 'NULL::integer'})
      FROM ${from}) AS heads`;

/** Undispatched events that are read at once. As many as these mean that there may be more. */
export const MAX_UNDISPATCHED = 1_000;

/** The deliveries of an event are in a short range of the primary key, its millisecond. */
const headsInOrder = (isSized: boolean): string => `
    WITH heads AS (${byAge({
      columns: HEAD_COLUMNS,
      where: `webhook_id = $1 AND ${IS_DEFERRED}`,
      limit: '$2',
      lock: '',
    })})
    SELECT ${headList('heads ORDER BY event_id', isSized)},
           ARRAY(
             SELECT jsonb_build_object(
               'eventId', b.event_id, 'ownerId', e.owner_id, 'type', e.type,
               'isMatched', b.webhook_ids IS NOT NULL)
               FROM event_outbox b
               CROSS JOIN ${rowOf('events', 'owner_id, type', 'id = b.event_id')} AS e
              WHERE b.event_id < (SELECT max(event_id) FROM heads)
                AND (b.webhook_ids IS NULL OR $1 = ANY (b.webhook_ids))
                AND NOT EXISTS (
                  SELECT 1 FROM deliveries d
                   WHERE d.webhook_id = $1 AND d.event_id = b.event_id
                     AND d.id >= 'dlv_' || substr(b.event_id, 5, 10)
                     AND d.id < 'dlv_' || substr(b.event_id, 5, 10) || '~' OFFSET 0)
              ORDER BY b.event_id LIMIT ${MAX_UNDISPATCHED}) AS undispatched`;

/** $3: how many of the oldest come first. */
const headsByPriority = (isSized: boolean): string => `
    WITH ${byPriority(
      {
        columns: HEAD_COLUMNS,
        where: `webhook_id = $1 AND ${IS_DEFERRED} AND ${IS_READY}`,
        limit: '$2',
        lock: '',
      },
      '$3',
    )},
    heads AS (
      SELECT 0 AS part, * FROM aged UNION ALL SELECT 1 + priority AS part, * FROM urgent)
    SELECT ${headList('heads ORDER BY part, event_id', isSized)}, ARRAY[]::jsonb[] AS undispatched`;

/** With the sizes of the events in a statement of its own: even an unused lookup costs ten times the rest. */
const heads = (name: string, text: (isSized: boolean) => string) => ({
  sized: { name: `${name}-sized`, text: text(true) },
  plain: { name, text: text(false) },
});

/** The heads of a backlog: $1 webhook, $2 how many. */
export const HEADS_IN_ORDER = heads('deferred-heads-in-order', headsInOrder);
export const HEADS_BY_PRIORITY = heads('deferred-heads-by-priority', headsByPriority);

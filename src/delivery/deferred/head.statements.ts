import { rowOf } from '../../database/keyed-lookup.js';
import type { PreparedStatement } from '../../database/postgres.client.js';
import { IS_DEFERRED, IS_READY, byPriority, byAge } from './selection.js';

/**
 * What stands at the head of a line: $1 webhook, $2 how many. How large they are takes a look at their
 * events, and a statement of its own: planning for a look that is not taken costs ten times the rest.
 */

const HEAD_COLUMNS = `
  id, event_id, priority, lost_leases, batch_id,
  coalesce(extract(epoch FROM not_before - now())::float8 * 1000, 0) AS ready_in_ms,
  extract(epoch FROM now() - created_at)::float8 * 1000 AS waited_ms`;

/** @param from of which heads, in which order */
const headList = (from: string, hasBytes: boolean): string => `
  ARRAY(
    SELECT jsonb_build_object(
      'eventId', event_id, 'readyInMs', ready_in_ms, 'lostLeases', lost_leases,
      'batchId', batch_id, 'waitedMs', waited_ms,
      'bytes', ${
        hasBytes
          ? '(SELECT octet_length(e.body) FROM events e WHERE e.id = heads.event_id)'
          : 'NULL::integer'
      })
      FROM ${from}) AS heads`;

/** The deliveries of an event stand in a short range of the primary key, its millisecond. */
const headsInOrder = (hasBytes: boolean): string => `
    WITH heads AS (${byAge({
      columns: HEAD_COLUMNS,
      where: `webhook_id = $1 AND ${IS_DEFERRED}`,
      limit: '$2',
      lock: '',
    })})
    SELECT ${headList('heads ORDER BY event_id', hasBytes)},
           ARRAY(
             SELECT jsonb_build_object(
               'eventId', b.event_id, 'ownerId', e.owner_id, 'type', e.type,
               'isPending', b.webhook_ids IS NOT NULL)
               FROM event_outbox b
               CROSS JOIN ${rowOf('events', 'owner_id, type', 'id = b.event_id')} AS e
              WHERE b.event_id < (SELECT max(event_id) FROM heads)
                AND (b.webhook_ids IS NULL OR $1 = ANY (b.webhook_ids))
                AND NOT EXISTS (
                  SELECT 1 FROM deliveries d
                   WHERE d.webhook_id = $1 AND d.event_id = b.event_id
                     AND d.id >= 'dlv_' || substr(b.event_id, 5, 10)
                     AND d.id < 'dlv_' || substr(b.event_id, 5, 10) || '~' OFFSET 0)
              ORDER BY b.event_id LIMIT 1000) AS undispatched`;

/** $3: how many of the oldest come first. */
const headsByPriority = (hasBytes: boolean): string => `
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
    SELECT ${headList('heads ORDER BY part, event_id', hasBytes)}, ARRAY[]::jsonb[] AS undispatched`;

/** A statement with their sizes, and one without. */
interface HeadStatements {
  sized: PreparedStatement;
  plain: PreparedStatement;
}

const both = (name: string, text: (hasBytes: boolean) => string): HeadStatements => ({
  sized: { name: `${name}-sized`, text: text(true) },
  plain: { name, text: text(false) },
});

export const HEADS_IN_ORDER = both('deferred-heads-in-order', headsInOrder);
export const HEADS_BY_PRIORITY = both('deferred-heads-by-priority', headsByPriority);

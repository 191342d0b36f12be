import { texts } from '../../database/bulk.js';
import { keyIn, rowOf } from '../../database/keyed-lookup.js';
import type { PreparedStatement } from '../../database/postgres.client.js';
import { QUARANTINE_AFTER } from '../leases/lease.js';
import { IS_DEFERRED, IS_READY, type QueueScan, byPriority, byAge } from './selection.js';

/** Which of the held deliveries of a webhook, of those that may be sent now. */
export type Selection =
  /** Those that go first by priority, and among them so many of the oldest. */
  | { kind: 'urgent'; aged: number }
  /** The oldest, up to this event. */
  | { kind: 'inOrder'; upToEvent: string }
  /** These. */
  | { kind: 'these'; ids: readonly string[] }
  /** What was sent in this batch before, all of which is due with the first of it. */
  | { kind: 'ofBatch'; batchId: string };

/** Its own parameter of the statement. */
export function parameterOf(which: Selection): string | number {
  switch (which.kind) {
    case 'urgent':
      return which.aged;
    case 'inOrder':
      return which.upToEvent;
    case 'these':
      return which.ids.join('\u001e');
    case 'ofBatch':
      return which.batchId;
  }
}

/** What every pull takes from; $5 and $6 are `suspects` and `isUnbatched`. */
const mayTake = (readiness: string): string => `
  webhook_id = $3 AND ${IS_DEFERRED} AND ${readiness}
  AND (lost_leases >= ${QUARANTINE_AFTER}) = $5 AND (NOT $6 OR batch_id IS NULL)`;

const LOCKED: QueueScan = {
  columns: 'id, event_id, priority',
  where: mayTake(IS_READY),
  limit: '$4',
  lock: 'FOR UPDATE SKIP LOCKED',
};

/**
 * How the rows are found, as parts of a WITH of which the last is `taken`; its parameter is $8.
 */
const TAKEN: Record<Selection['kind'], string> = {
  urgent: `${byPriority(LOCKED, '$8')},
  taken AS MATERIALIZED (
    SELECT id FROM (SELECT id FROM aged UNION ALL SELECT id FROM urgent) AS line LIMIT $4)`,
  inOrder: `
  taken AS MATERIALIZED (${byAge({ ...LOCKED, where: `${LOCKED.where} AND event_id <= $8` })})`,
  these: `
  taken AS MATERIALIZED (
    SELECT id FROM deliveries
     WHERE id = ANY (${texts(8)}) AND ${LOCKED.where} ORDER BY event_id LIMIT $4 ${LOCKED.lock})`,
  ofBatch: `
  taken AS MATERIALIZED (${byAge({ ...LOCKED, where: mayTake('batch_id = $8') })})`,
};

/** A lease that nobody else can have taken makes the claim; its state is durable before anything goes. */
const pull = (kind: Selection['kind'], lane: string, from: string): string => `
  WITH ${lane}${TAKEN[kind]},
  claimed AS (
    UPDATE deliveries
       SET status = 'delivering', lease_token = $1, due_at = now() + $2 * interval '1 ms',
           not_before = NULL, batch_id = $7
      ${from} WHERE ${keyIn('id', 'taken')}
    RETURNING id, webhook_id, attempts, budget_start, lost_leases, event_id, event_type)
  SELECT claimed.*, e.body, e.priority, e.expires_at
    FROM claimed LEFT JOIN ${rowOf('events', 'body, priority, expires_at', 'id = claimed.event_id')} AS e ON true
   ORDER BY claimed.event_id`;

const pullPlain = (kind: Selection['kind']): PreparedStatement => ({
  name: `pull-held-${kind}`,
  text: pull(kind, '', ''),
});

const pullForLane = (kind: Selection['kind']): PreparedStatement => ({
  name: `pull-held-for-lane-${kind}`,
  text: pull(
    kind,
    `lane AS (
      UPDATE webhook_leases SET state = $10, state_at = now()
       WHERE webhook_id = $3 AND holder = $9 RETURNING 1),`,
    'FROM lane',
  ),
});

/** One statement for each way to find the rows. */
const statements = (of: (kind: Selection['kind']) => PreparedStatement) => ({
  urgent: of('urgent'),
  inOrder: of('inOrder'),
  these: of('these'),
  ofBatch: of('ofBatch'),
});
export const PULLS = statements(pullPlain);
export const PULLS_UNDER_LEASE = statements(pullForLane);

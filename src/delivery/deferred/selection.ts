/**
 * In which order the held deliveries of a webhook are taken, as SQL. One index serves both orders,
 * (webhook, priority, event), because each index is paid for with every row that is held.
 */

export const IS_DEFERRED = `due_at IS NULL AND status IN ('pending', 'retrying')`;
export const IS_READY = '(not_before IS NULL OR not_before <= now())';

/** Of so many that are taken by priority, one is the oldest of whatever priority: so none starves. */
const AGED_SHARE = 1 / 8;

/**
 * How many of those that are taken are to be the oldest. Where few are taken at a time, chance keeps
 * the share.
 * @param limit  deliveries that are taken, at least 1
 * @param chance from 0 to 1, evenly
 */
export const agedCount = (limit: number, chance: number): number =>
  Math.floor(limit * AGED_SHARE + chance);

/** Which rows, and what of them; all are SQL, and `columns` has the id, event and priority. */
export interface QueueScan {
  columns: string;
  where: string;
  limit: string;
  /** `FOR UPDATE SKIP LOCKED`, or nothing. */
  lock: string;
}

/** A query for the oldest, whatever their priority: the heads of three ranges of the index, merged. */
export const byAge = ({ columns, where, limit, lock }: QueueScan): string => `
  SELECT line.* FROM (VALUES (0), (1), (2)) AS p(priority) CROSS JOIN LATERAL (
    SELECT ${columns} FROM deliveries
     WHERE ${where} AND priority = p.priority::smallint
     ORDER BY event_id LIMIT ${limit} ${lock}) AS line
   ORDER BY line.event_id LIMIT ${limit}`;

/**
 * Two parts of a WITH, `aged` and `urgent`: the few that are oldest, and of the others those that go
 * first by priority.
 * @param aged SQL: how many are to be the oldest, at most the limit
 */
export const byPriority = (line: QueueScan, aged: string): string => `
  aged AS MATERIALIZED (${byAge({ ...line, limit: aged })}),
  urgent AS MATERIALIZED (
    SELECT ${line.columns} FROM deliveries
     WHERE ${line.where} AND id NOT IN (SELECT id FROM aged)
     ORDER BY priority, event_id LIMIT ${line.limit} - (SELECT count(*) FROM aged) ${line.lock})`;

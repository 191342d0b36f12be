import { texts } from '../../database/bulk.js';
import { keyIn, rowOf } from '../../database/keyed-lookup.js';

/**
 * SQL that gives deliveries back before their lease ends, with no attempt spent; of those that are still
 * held under their token. $1: their ids, $2: the tokens.
 * @param dueAt SQL: when they fall due, null: they wait in line
 */
export const releaseLeases = (dueAt: string): string => `
  WITH held AS MATERIALIZED (
    SELECT d.id FROM unnest(${texts(1)}, ${texts(2)}) AS g(id, token)
     CROSS JOIN ${rowOf('deliveries', 'id', 'id = g.id AND lease_token = g.token', 'FOR UPDATE')} AS d)
  UPDATE deliveries
     SET status = CASE WHEN attempts > budget_start THEN 'retrying' ELSE 'pending' END,
         lease_token = NULL, due_at = ${dueAt}
   WHERE ${keyIn('id', 'held')}`;

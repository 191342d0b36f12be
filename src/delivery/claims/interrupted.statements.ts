import { keyIn, rowOf } from '../../database/keyed-lookup.js';
import { LEASED_DELIVERIES } from '../leases/lease.statements.js';
import { OVERWRITE_MARK } from '../sending/outcome.statements.js';

/**
 * SQL to join with: the latest attempt of a delivery that is not among those that are counted in its
 * row. Its worker has marked it, and was lost before it could write an outcome.
 * @param id      SQL: the delivery
 * @param counted SQL: attempts in its row
 */
export const interruptedAttempt = (id: string, counted: string): string =>
  rowOf(
    'delivery_attempts',
    'number, started_at, duration_ms, status_code, error, response_body, error_message, resent',
    `delivery_id = ${id} AND number > ${counted} ORDER BY started_at DESC LIMIT 1`,
  );

const latest = (column: string, value: string): string =>
  `${column} = CASE WHEN lost.number IS NULL THEN d.${column} ELSE ${value} END`;

/**
 * What a lost lease means for deliveries: an attempt that was made under it is the latest now, and the
 * one before becomes history. It uses up nothing of the budget, since the receiver has not refused
 * anything. Without an attempt nothing is known of the delivery but that its worker was lost.
 * Parameters: {@link LEASED_DELIVERIES}.
 */
export const COUNT_INTERRUPTED = {
  name: 'count-interrupted-attempts',
  text: `
    WITH lost AS MATERIALIZED (
      SELECT d.id, d.attempts AS counted, d.last_attempt_at, d.last_duration_ms, d.last_status_code,
             d.last_attempt_error, d.last_response_body, d.last_attempt_message,
             d.last_attempt_resent, a.*
        FROM ${LEASED_DELIVERIES.unnest('g')}
       CROSS JOIN ${rowOf('deliveries', '*', 'id = g.id AND lease_token = g.token', 'FOR UPDATE')} AS d
        LEFT JOIN ${interruptedAttempt('g.id', 'd.attempts')} AS a ON true),
    moved AS (
      INSERT INTO delivery_attempts
        (delivery_id, started_at, number, duration_ms, status_code, error, response_body,
         error_message, resent)
      SELECT id, last_attempt_at, counted, last_duration_ms, last_status_code, last_attempt_error,
             last_response_body, last_attempt_message, last_attempt_resent
        FROM lost WHERE number IS NOT NULL AND last_attempt_at IS NOT NULL
      ${OVERWRITE_MARK})
    UPDATE deliveries d
       SET attempts = coalesce(lost.number, d.attempts),
           budget_start = d.budget_start + coalesce(lost.number - d.attempts, 0),
           lost_leases = CASE WHEN lost.number IS NULL THEN 1 ELSE d.lost_leases END,
           ${latest('last_error', 'lost.error')},
           ${latest('last_attempt_at', 'lost.started_at')},
           ${latest('last_duration_ms', 'lost.duration_ms')},
           ${latest('last_status_code', 'lost.status_code')},
           ${latest('last_attempt_error', 'lost.error')},
           ${latest('last_response_body', 'lost.response_body')},
           ${latest('last_attempt_message', 'lost.error_message')},
           ${latest('last_attempt_resent', 'lost.resent')}
      FROM lost WHERE d.id = lost.id AND ${keyIn('d.id', 'lost')}
    RETURNING d.id, d.attempts, d.budget_start AS "budgetStart", d.lost_leases AS "lostLeases"`,
};

import { bulk, flag, number, text } from '../../database/bulk.js';
import { keyIn, rowOf } from '../../database/keyed-lookup.js';
import { FINAL_STATUSES } from '../../shared/delivery-status.js';
import { leasedEvent, WITH_LEASED_EVENTS } from '../leases/lease.statements.js';
import { attemptsAfter, FREE_ATTEMPTS, type Outcome } from './outcome.js';
import type { DeliveryTask, EventGroup } from './task.js';

/** An event of which first outcomes are in a batch. */
export interface BatchedEvent {
  group: EventGroup;
  /** From 1, in the order of the parameters. */
  number: number;
  /** First outcomes in the batch. */
  count: number;
  /** All of its deliveries have an outcome once this batch is written. */
  isFinished: boolean;
}

export interface FirstOutcome {
  outcome: Outcome;
  /** {@link BatchedEvent.number} of its event. */
  event: number;
}

export const EVENTS = bulk<BatchedEvent>({
  event_id: text(({ group }) => group.eventId),
  token: text(({ group }) => group.token),
  event_type: text(({ group }) => group.eventType),
  priority: number('smallint', ({ group }) => group.priority),
  is_finished: flag(({ isFinished }) => isFinished),
});

const attemptColumns = <Row>(of: (row: Row) => Outcome) => ({
  started_at_ms: number<Row>('double precision', (row) => of(row).attempt?.startedAtMs),
  duration_ms: number<Row>('int', (row) => {
    const { attempt } = of(row);
    return attempt && Math.round(attempt.durationMs);
  }),
  status_code: number<Row>('smallint', (row) => of(row).attempt?.statusCode),
  attempt_error: text<Row>((row) => of(row).attempt?.error),
  response_body: text<Row>((row) => of(row).attempt?.responseBody),
  message: text<Row>((row) => of(row).attempt?.message),
  resent: flag<Row>((row) => of(row).attempt?.isResent),
});

const stateColumns = <Row>(of: (row: Row) => Outcome) => ({
  status: text<Row>((row) => of(row).status),
  attempts: number<Row>('int', (row) => attemptsAfter(of(row))),
  due_in_ms: number<Row>('bigint', (row) => {
    const { next } = of(row);
    return next.kind === 'scheduled' ? next.inMs : null;
  }),
  deferred_for_ms: number<Row>('bigint', (row) => {
    const { next } = of(row);
    return next.kind === 'deferred' ? next.forMs : null;
  }),
  error: text<Row>((row) => of(row).error),
  ...attemptColumns(of),
});

export const FIRST_OUTCOMES = bulk<FirstOutcome>({
  number: number('int', ({ event }) => event),
  id: text(({ outcome }) => outcome.task.deliveryId),
  webhook_id: text(({ outcome }) => outcome.task.webhookId),
  ...stateColumns(({ outcome }: FirstOutcome) => outcome),
});

export const LATER_OUTCOMES = bulk<Outcome>({
  id: text(({ task }) => task.deliveryId),
  token: text(({ task }) => task.token),
  ...stateColumns((outcome: Outcome) => outcome),
});

/** An attempt that is in flight, of one delivery. */
export interface AttemptMark {
  task: DeliveryTask;
  startedAtMs: number;
}

export const MARKS = bulk<AttemptMark>({
  id: text(({ task }) => task.deliveryId),
  number: number('int', ({ task }) => task.attempt),
  started_at_ms: number('double precision', ({ startedAtMs }) => startedAtMs),
});

export const LATE_ATTEMPTS = bulk<Outcome>({
  id: text(({ task }) => task.deliveryId),
  number: number('int', attemptsAfter),
  ...attemptColumns((outcome: Outcome) => outcome),
});

/**
 * SQL: 1 if an attempt was made that uses up nothing of the budget, else 0. It follows from the error,
 * so that no outcome needs a parameter for it.
 */
const freeAttempt = (of: string): string =>
  `(${of}.started_at_ms IS NOT NULL AND ${of}.error IN (${FREE_ATTEMPTS.map((error) => `'${error}'`).join(', ')}) IS TRUE)::int`;

/** What was marked while it was in flight gets its result. */
export const OVERWRITE_MARK = `
      ON CONFLICT (delivery_id, started_at) DO UPDATE
        SET duration_ms = excluded.duration_ms, status_code = excluded.status_code,
            error = excluded.error, response_body = excluded.response_body,
            error_message = excluded.error_message, resent = excluded.resent
      WHERE delivery_attempts.error = 'interrupted'`;

const isFinalStatus = (column: string): string =>
  `${column} IN (${FINAL_STATUSES.map((status) => `'${status}'`).join(', ')})`;

/**
 * First outcomes create the delivery row, if the outbox row of the event is still leased under the
 * same token; after a lost lease the next worker decides. The last outcome deletes the outbox row.
 *
 * What the deliveries of an event have in common is a parameter once per event, and there is no
 * conflict target: each saves a fifth of the statement, which is most of what a delivery costs the
 * database.
 */
const recordFirst = (onConflict: string): string => `
  WITH ours AS MATERIALIZED (
    SELECT g.*, b.expires_at FROM ${EVENTS.unnest('g', 1, 'number')}
     CROSS JOIN ${leasedEvent('expires_at')} AS b),
  created AS (
    INSERT INTO deliveries
      (id, event_id, webhook_id, event_type, priority, status, attempts, budget_start, due_at, not_before,
       last_error, last_attempt_at, last_duration_ms, last_status_code, last_attempt_error, last_response_body,
       last_attempt_message, last_attempt_resent, completed_at, expires_at)
    SELECT o.id, ours.event_id, o.webhook_id, ours.event_type, ours.priority, o.status, o.attempts,
           ${freeAttempt('o')}, now() + o.due_in_ms * interval '1 ms', now() + o.deferred_for_ms * interval '1 ms', o.error,
           to_timestamp(o.started_at_ms / 1000.0), o.duration_ms, o.status_code, o.attempt_error,
           o.response_body, o.message, nullif(o.resent, false),
           CASE WHEN ${isFinalStatus('o.status')} THEN now() END, ours.expires_at
      FROM ${FIRST_OUTCOMES.unnest('o', EVENTS.size + 1)}
      JOIN ours ON ours.number = o.number
    ${onConflict}
    RETURNING 1),
  finished AS (
    DELETE FROM event_outbox
     WHERE event_id = ANY (ARRAY(SELECT event_id FROM ours WHERE is_finished))
       AND lease_token = ANY (ARRAY(SELECT DISTINCT token FROM ours)))
  SELECT count(*)::int AS written FROM created`;

/** Parameters: {@link EVENTS}, {@link FIRST_OUTCOMES}. */
export const RECORD_FIRST = { name: 'record-first-outcomes', text: recordFirst('') };

/** For when one of them has a row already: a lease was lost, and both workers write. */
export const RECORD_FIRST_AGAIN = {
  name: 'record-first-outcomes-again',
  text: recordFirst('ON CONFLICT (id) DO NOTHING'),
};

/** SQL that takes a value of the attempt, if there was one. */
const latest = (column: string, value: string, otherwise = `d.${column}`): string =>
  `${column} = CASE WHEN ours.started_at_ms IS NULL THEN ${otherwise} ELSE ${value} END`;

/**
 * Later outcomes change the row, if it is still leased under the same token. A new attempt moves the
 * one before to the history; without one the last answer stays. Parameters: {@link LATER_OUTCOMES}.
 */
export const RECORD_LATER = {
  name: 'record-later-outcomes',
  text: `
    WITH o AS (
      SELECT * FROM ${LATER_OUTCOMES.unnest('o')}),
    ours AS MATERIALIZED (
      SELECT o.*, d.attempts AS number, d.last_attempt_at, d.last_duration_ms,
             d.last_status_code, d.last_attempt_error, d.last_response_body, d.last_attempt_message,
             d.last_attempt_resent
        FROM o CROSS JOIN ${rowOf('deliveries', '*', 'id = o.id AND lease_token = o.token', 'FOR UPDATE')} AS d),
    moved AS (
      INSERT INTO delivery_attempts
        (delivery_id, started_at, number, duration_ms, status_code, error, response_body,
         error_message, resent)
      SELECT id, last_attempt_at, number, last_duration_ms, last_status_code, last_attempt_error,
             last_response_body, last_attempt_message, last_attempt_resent
        FROM ours WHERE started_at_ms IS NOT NULL AND last_attempt_at IS NOT NULL
      ${OVERWRITE_MARK}),
    changed AS (
      UPDATE deliveries d
         SET status = ours.status, attempts = ours.attempts, lease_token = NULL,
             budget_start = d.budget_start + ${freeAttempt('ours')},
             ${latest('lost_leases', '0')},
             due_at = now() + ours.due_in_ms * interval '1 ms',
             not_before = now() + ours.deferred_for_ms * interval '1 ms',
             completed_at = CASE WHEN ${isFinalStatus('ours.status')} THEN now() END,
             ${latest('last_error', 'ours.error', 'coalesce(ours.error, d.last_error)')},
             ${latest('last_attempt_at', 'to_timestamp(ours.started_at_ms / 1000.0)')},
             ${latest('last_duration_ms', 'ours.duration_ms')},
             ${latest('last_status_code', 'ours.status_code')},
             ${latest('last_attempt_error', 'ours.attempt_error')},
             ${latest('last_response_body', 'ours.response_body')},
             ${latest('last_attempt_message', 'ours.message')},
             ${latest('last_attempt_resent', 'nullif(ours.resent, false)')}
        FROM ours WHERE d.id = ours.id AND ${keyIn('d.id', 'ours')})
    SELECT count(*)::int AS written FROM ours`,
};

/** An attempt is history also when its lease was lost. Parameters: {@link LATE_ATTEMPTS}. */
export const RECORD_LATE = {
  name: 'record-late-attempts',
  text: `
    INSERT INTO delivery_attempts
      (delivery_id, started_at, number, duration_ms, status_code, error, response_body,
       error_message, resent)
    SELECT o.id, to_timestamp(o.started_at_ms / 1000.0), o.number, o.duration_ms, o.status_code,
           o.attempt_error, o.response_body, o.message, nullif(o.resent, false)
      FROM ${LATE_ATTEMPTS.unnest('o')}
      LEFT JOIN ${rowOf('deliveries', 'last_attempt_at', 'id = o.id')} AS d ON true
     WHERE d.last_attempt_at IS DISTINCT FROM to_timestamp(o.started_at_ms / 1000.0)
      ${OVERWRITE_MARK}`,
};

/**
 * Marks attempts that are in flight: what the next worker finds of them if this one crashes. Their
 * numbers are above those that the deliveries count, so that they are not shown before. Parameters:
 * {@link MARKS}.
 */
export const MARK_ATTEMPTS = {
  name: 'mark-attempts',
  text: `
    INSERT INTO delivery_attempts (delivery_id, started_at, number, duration_ms, error)
    SELECT id, to_timestamp(started_at_ms / 1000.0), number, 0, 'interrupted'
      FROM ${MARKS.unnest('m')}
    ON CONFLICT DO NOTHING`,
};

/**
 * Two batches in flight have finished an event between them, and neither could know. Parameters:
 * those of {@link WITH_LEASED_EVENTS}.
 */
export const FINISH_EVENTS = {
  name: 'finish-events',
  text: `${WITH_LEASED_EVENTS}
    DELETE FROM event_outbox WHERE event_id = ANY (ARRAY(SELECT event_id FROM leased))`,
};

import { Injectable, Logger } from '@nestjs/common';
import { FINAL_STATUSES } from '../../shared/delivery-status.js';
import { literalColumn, textColumn, texts } from '../../database/bulk.js';
import { GroupCommit } from '../../database/group-commit.js';
import { keyIn, rowOf } from '../../database/keyed-lookup.js';
import { PostgresClient, type PreparedStatement } from '../../database/postgres.client.js';
import { isContention, isItemsFault, isUniqueViolation } from '../../database/sql-errors.js';
import { type EventGroup, groupOf } from './task.js';
import { leasedEvent, WITH_LEASED_EVENTS } from '../claims/leased-events.js';
import { attemptsAfter, type Outcome } from './outcome.js';

const isFinalStatus = (column: string): string =>
  `${column} IN (${FINAL_STATUSES.map((status) => `'${status}'`).join(', ')})`;

/**
 * First outcomes create the delivery row, if the outbox row of its event is still held under the same
 * token: after a takeover somebody else decides. With its last outcome the outbox row goes.
 *
 * What the deliveries of an event have in common is given once per event, and there is no arbiter:
 * each is worth a fifth of the statement, which is most of what a delivery costs the database.
 */
const first = (arbiter: string): string => `
  WITH ours AS MATERIALIZED (
    SELECT g.*, b.expires_at FROM unnest(${texts(1)}, ${texts(2)}, ${texts(3)}, $4::smallint[], $5::boolean[])
           WITH ORDINALITY AS g(event_id, token, event_type, priority, is_finished, number)
     CROSS JOIN ${leasedEvent('expires_at')} AS b),
  created AS (
    INSERT INTO deliveries
      (id, event_id, webhook_id, event_type, priority, status, attempts, due_at, not_before,
       last_error, last_attempt_at, last_duration_ms, last_status_code, last_attempt_error, last_response_body,
       completed_at, expires_at)
    SELECT o.id, ours.event_id, o.webhook_id, ours.event_type, ours.priority, o.status, o.attempts,
           now() + o.due_in_ms * interval '1 ms', now() + o.held_for_ms * interval '1 ms', o.error,
           to_timestamp(o.started_at_ms / 1000.0), o.duration_ms, o.status_code, o.attempt_error,
           o.response_body, CASE WHEN ${isFinalStatus('o.status')} THEN now() END, ours.expires_at
      FROM unnest($6::int[], ${texts(7)}, ${texts(8)}, ${texts(9)}, $10::int[], $11::bigint[],
                  $12::bigint[], ${texts(13)}, $14::double precision[], $15::int[], $16::smallint[],
                  ${texts(17)}, ${texts(18)})
           AS o(number, id, webhook_id, status, attempts, due_in_ms, held_for_ms, error,
                started_at_ms, duration_ms, status_code, attempt_error, response_body)
      JOIN ours ON ours.number = o.number
    ${arbiter}
    RETURNING 1),
  finished AS (
    DELETE FROM event_outbox
     WHERE event_id = ANY (ARRAY(SELECT event_id FROM ours WHERE is_finished))
       AND lease_token = ANY (ARRAY(SELECT DISTINCT token FROM ours)))
  SELECT count(*)::int AS written FROM created`;

const RECORD_FIRST = { name: 'record-first-outcomes', text: first('') };

/** When one of them has a row already, which takes a takeover in the right moment. */
const RECORD_FIRST_AGAIN = {
  name: 'record-first-outcomes-again',
  text: first('ON CONFLICT (id) DO NOTHING'),
};

/** SQL that takes a value of the attempt, if there was one. */
const latest = (column: string, value: string, otherwise = `d.${column}`): string =>
  `${column} = CASE WHEN ours.started_at_ms IS NULL THEN ${otherwise} ELSE ${value} END`;

/**
 * Later outcomes change the row, if it is still leased under the same token; the attempt before, if
 * there is a newer one, moves to the history. Without an attempt what the last one was answered stays.
 */
const RECORD_LATER = {
  name: 'record-later-outcomes',
  text: `
    WITH o AS (
      SELECT * FROM unnest(${texts(1)}, ${texts(2)}, ${texts(3)}, $4::int[], $5::bigint[],
                           $6::bigint[], ${texts(7)}, $8::double precision[], $9::int[],
                           $10::smallint[], ${texts(11)}, ${texts(12)})
        AS o(id, token, status, attempts, due_in_ms, held_for_ms, error,
             started_at_ms, duration_ms, status_code, attempt_error, response_body)),
    ours AS MATERIALIZED (
      SELECT o.*, d.attempts AS number, d.last_attempt_at, d.last_duration_ms,
             d.last_status_code, d.last_attempt_error, d.last_response_body
        FROM o CROSS JOIN ${rowOf('deliveries', '*', 'id = o.id AND lease_token = o.token', 'FOR UPDATE')} AS d),
    moved AS (
      INSERT INTO delivery_attempts
        (delivery_id, started_at, number, duration_ms, status_code, error, response_body)
      SELECT id, last_attempt_at, number, last_duration_ms, last_status_code, last_attempt_error,
             last_response_body
        FROM ours WHERE started_at_ms IS NOT NULL AND last_attempt_at IS NOT NULL
      ON CONFLICT DO NOTHING),
    changed AS (
      UPDATE deliveries d
         SET status = ours.status, attempts = ours.attempts, lease_token = NULL,
             ${latest('lost_leases', '0')},
             due_at = now() + ours.due_in_ms * interval '1 ms',
             not_before = now() + ours.held_for_ms * interval '1 ms',
             completed_at = CASE WHEN ${isFinalStatus('ours.status')} THEN now() END,
             ${latest('last_error', 'ours.error', 'coalesce(ours.error, d.last_error)')},
             ${latest('last_attempt_at', 'to_timestamp(ours.started_at_ms / 1000.0)')},
             ${latest('last_duration_ms', 'ours.duration_ms')},
             ${latest('last_status_code', 'ours.status_code')},
             ${latest('last_attempt_error', 'ours.attempt_error')},
             ${latest('last_response_body', 'ours.response_body')}
        FROM ours WHERE d.id = ours.id AND ${keyIn('d.id', 'ours')})
    SELECT count(*)::int AS written FROM ours`,
};

/** An attempt is history also when its worker came too late to decide anything. */
const RECORD_LATE = {
  name: 'record-late-attempts',
  text: `
    INSERT INTO delivery_attempts
      (delivery_id, started_at, number, duration_ms, status_code, error, response_body)
    SELECT o.id, to_timestamp(o.started_at_ms / 1000.0), o.number, o.duration_ms, o.status_code,
           o.error, o.response_body
      FROM unnest(${texts(1)}, $2::int[], $3::double precision[], $4::int[], $5::smallint[],
                  ${texts(6)}, ${texts(7)})
           AS o(id, number, started_at_ms, duration_ms, status_code, error, response_body)
      LEFT JOIN ${rowOf('deliveries', 'last_attempt_at', 'id = o.id')} AS d ON true
     WHERE d.last_attempt_at IS DISTINCT FROM to_timestamp(o.started_at_ms / 1000.0)
    ON CONFLICT DO NOTHING`,
};

/** Two batches finished an event between them, and neither could know. */
const FINISH = {
  name: 'finish-events',
  text: `${WITH_LEASED_EVENTS}
    DELETE FROM event_outbox WHERE event_id = ANY (ARRAY(SELECT event_id FROM held))`,
};

/**
 * Nobody waits for an outcome but the history, and a quiet one is still written at once: under load
 * the longer gap makes larger groups, which is worth a tenth of the cost per delivery.
 */
const OUTCOME_GAP_MS = 20;

const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 5_000;

/**
 * Writes outcomes in groups, and goes on trying while the store is away: what was sent must not be
 * forgotten. The worker holds the task until then, which is what bounds the memory.
 */
@Injectable()
export class OutcomeStore {
  private readonly logger = new Logger(OutcomeStore.name);
  private readonly first = this.group((outcomes) => this.writeFirst(outcomes));
  private readonly later = this.group((outcomes) => this.writeLater(outcomes));
  private givingUp = false;

  constructor(private readonly postgres: PostgresClient) {}

  /**
   * Settles when the outcome is durable. Rejects only if the store refuses this very outcome, or
   * after {@link giveUp}; the lease then ends and the delivery is tried again.
   */
  record(outcome: Outcome): Promise<void> {
    return (groupOf(outcome.task) ? this.first : this.later).add(outcome);
  }

  /** At shutdown: no more retries against a store that is away. */
  giveUp(): void {
    this.givingUp = true;
  }

  private group(write: (outcomes: Outcome[]) => Promise<void>): GroupCommit<Outcome, void> {
    return new GroupCommit<Outcome, void>({
      write: async (outcomes) => {
        await this.untilWritten(() => write(outcomes));
        return outcomes.map(() => undefined);
      },
      isItemsFault,
      minGapMs: OUTCOME_GAP_MS,
      now: () => performance.now(),
    });
  }

  private async writeFirst(outcomes: Outcome[]): Promise<void> {
    const batch = new Map<EventGroup, { number: number; count: number }>();
    for (const { task } of outcomes) {
      const entry = batch.get(groupOf(task)!);
      if (entry) entry.count++;
      else batch.set(groupOf(task)!, { number: batch.size + 1, count: 1 });
    }
    const groups = [...batch.keys()];
    // Two batches may be in flight: a group counts as finished only if all of its other outcomes
    // are durable already, or are in this very statement.
    const isFinished = (g: EventGroup) => g.recorded + batch.get(g)!.count >= g.total;
    const finished = new Set(groups.filter(isFinished));
    const columns = [
      ...groupColumns(groups, finished),
      literalColumn(outcomes, ({ task }) => batch.get(groupOf(task)!)!.number),
      textColumn(outcomes, ({ task }) => task.deliveryId),
      textColumn(outcomes, ({ task }) => task.webhookId),
      ...stateColumns(outcomes),
    ];
    const written = await this.createRows(columns);
    for (const [group, { count }] of batch) group.recorded += count;
    if (written < outcomes.length) await this.writeLate(outcomes);
    await this.finish(groups.filter((g) => g.recorded >= g.total && !finished.has(g)));
  }

  private async createRows(columns: string[]): Promise<number> {
    const run = (statement: PreparedStatement) =>
      this.postgres.run<{ written: number }>(statement, columns);
    const rows = await run(RECORD_FIRST).catch((error: unknown) => {
      if (isUniqueViolation(error)) return run(RECORD_FIRST_AGAIN);
      throw error;
    });
    return rows[0]!.written;
  }

  private async finish(groups: EventGroup[]): Promise<void> {
    if (groups.length === 0) return;
    await this.postgres.run(FINISH, [
      textColumn(groups, (group) => group.eventId),
      textColumn(groups, (group) => group.token),
    ]);
  }

  private async writeLater(outcomes: Outcome[]): Promise<void> {
    const [row] = await this.postgres.run<{ written: number }>(RECORD_LATER, [
      textColumn(outcomes, ({ task }) => task.deliveryId),
      textColumn(outcomes, ({ task }) => task.token),
      ...stateColumns(outcomes),
    ]);
    if (row!.written < outcomes.length) await this.writeLate(outcomes);
  }

  /** Those of the attempts that are not the latest of their delivery: somebody else decided. */
  private async writeLate(outcomes: Outcome[]): Promise<void> {
    const attempted = outcomes.filter(({ attempt }) => attempt !== null);
    if (attempted.length === 0) return;
    await this.postgres.run(RECORD_LATE, [
      textColumn(attempted, ({ task }) => task.deliveryId),
      literalColumn(attempted, attemptsAfter),
      ...attemptColumns(attempted),
    ]);
  }

  private async untilWritten(write: () => Promise<void>): Promise<void> {
    for (let wait = RETRY_MIN_MS; ; wait = Math.min(wait * 2, RETRY_MAX_MS)) {
      try {
        return await write();
      } catch (error) {
        if (isItemsFault(error) || this.givingUp) throw error;
        if (!isContention(error)) {
          this.logger.error(`outcomes cannot be written, trying again: ${String(error)}`);
        }
        await new Promise((resolve) => setTimeout(resolve, wait));
      }
    }
  }
}

const groupColumns = (groups: EventGroup[], finished: ReadonlySet<EventGroup>): string[] => [
  textColumn(groups, (group) => group.eventId),
  textColumn(groups, (group) => group.token),
  textColumn(groups, (group) => group.eventType),
  literalColumn(groups, (group) => group.priority),
  literalColumn(groups, (group) => finished.has(group)),
];

const stateColumns = (outcomes: readonly Outcome[]): string[] => [
  textColumn(outcomes, ({ status }) => status),
  literalColumn(outcomes, attemptsAfter),
  literalColumn(outcomes, ({ dueInMs }) => dueInMs),
  literalColumn(outcomes, ({ deferForMs }) => deferForMs),
  textColumn(outcomes, ({ error }) => error),
  ...attemptColumns(outcomes),
];

const attemptColumns = (outcomes: readonly Outcome[]): string[] => [
  literalColumn(outcomes, ({ attempt }) => attempt?.startedAtMs),
  literalColumn(outcomes, ({ attempt }) => attempt && Math.round(attempt.durationMs)),
  literalColumn(outcomes, ({ attempt }) => attempt?.statusCode),
  textColumn(outcomes, ({ attempt }) => attempt?.error),
  textColumn(outcomes, ({ attempt }) => attempt?.responseBody),
];

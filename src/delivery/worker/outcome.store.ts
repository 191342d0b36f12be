import { Injectable, Logger } from '@nestjs/common';
import { isFinal } from '../../common/delivery-status.js';
import { literalColumn, textColumn, texts } from '../../database/columns.js';
import { GroupCommit } from '../../database/group-commit.js';
import { PostgresClient } from '../../database/postgres.client.js';
import { isContention, isItemsFault } from '../../database/sql-error.js';
import type { EventGroup } from '../delivery-task.js';
import { attemptsAfter, type Outcome } from './outcome.js';

/** Both statements take the same columns, in this order. */
const OUTCOMES = `
  SELECT * FROM unnest(
    ${texts(1)}, ${texts(2)}, ${texts(3)}, ${texts(4)}, ${texts(5)}, ${texts(6)},
    $7::int[], $8::bigint[], $9::boolean[], $10::smallint[], ${texts(11)},
    $12::double precision[], $13::int[], ${texts(14)}, ${texts(15)}
  ) AS o(id, event_id, webhook_id, event_type, token, status,
         attempts, due_in_ms, completed, status_code, error,
         started_at_ms, duration_ms, attempt_error, response_body)`;

/** An attempt is history also when its worker came too late to decide anything. */
const ATTEMPTS = `
  INSERT INTO delivery_attempts
    (delivery_id, started_at, number, duration_ms, status_code, error, response_body)
  SELECT id, to_timestamp(started_at_ms / 1000.0), attempts, duration_ms, status_code,
         attempt_error, response_body
    FROM o WHERE started_at_ms IS NOT NULL
  ON CONFLICT DO NOTHING`;

/**
 * First outcomes create the delivery row, if the outbox row is still held under the same token: after
 * a takeover somebody else decides. With its last outcome the outbox row goes.
 */
const RECORD_FIRST = {
  name: 'record-first-outcomes',
  text: `
    WITH o AS (${OUTCOMES}),
    created AS (
      INSERT INTO deliveries (id, event_id, webhook_id, event_type, status, attempts, due_at,
                              last_status_code, last_error, completed_at)
      SELECT o.id, o.event_id, o.webhook_id, o.event_type, o.status, o.attempts,
             now() + o.due_in_ms * interval '1 ms', o.status_code, o.error,
             CASE WHEN o.completed THEN now() END
        FROM o JOIN event_outbox b ON b.event_id = o.event_id AND b.lease_token = o.token
      ON CONFLICT (id) DO NOTHING),
    attempted AS (${ATTEMPTS})
    DELETE FROM event_outbox b
     USING unnest(${texts(16)}, ${texts(17)}) AS finished(event_id, token)
     WHERE b.event_id = finished.event_id AND b.lease_token = finished.token`,
};

/**
 * Later outcomes change the row, if it is still leased under the same token. One without an attempt
 * leaves what the last attempt was answered.
 */
const RECORD_LATER = {
  name: 'record-later-outcomes',
  text: `
    WITH o AS (${OUTCOMES}),
    changed AS (
      UPDATE deliveries d
         SET status = o.status, attempts = o.attempts, lease_token = NULL,
             due_at = now() + o.due_in_ms * interval '1 ms',
             last_status_code = CASE WHEN o.started_at_ms IS NULL THEN d.last_status_code
                                     ELSE o.status_code END,
             last_error = CASE WHEN o.started_at_ms IS NULL THEN coalesce(o.error, d.last_error)
                               ELSE o.error END,
             completed_at = CASE WHEN o.completed THEN now() END
        FROM o WHERE d.id = o.id AND d.lease_token = o.token)
    ${ATTEMPTS}`,
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
    return (outcome.task.group ? this.first : this.later).add(outcome);
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
    const inBatch = new Map<EventGroup, number>();
    for (const { task } of outcomes) inBatch.set(task.group!, (inBatch.get(task.group!) ?? 0) + 1);
    // Two batches may be in flight: a group counts as finished only if all of its other outcomes
    // are durable already, or are in this very statement.
    const finished = [...inBatch].filter(([g, count]) => g.recorded + count >= g.total);
    await this.postgres.run(RECORD_FIRST, [
      ...outcomeColumns(outcomes),
      textColumn(finished, ([group]) => group.eventId),
      textColumn(finished, ([group]) => group.token),
    ]);
    for (const [group, count] of inBatch) group.recorded += count;
    const overlooked = [...inBatch.keys()].filter(
      (g) => g.recorded >= g.total && !finished.some(([done]) => done === g),
    );
    if (overlooked.length > 0) await this.finish(overlooked);
  }

  /** Two batches finished a group between them, and neither could know: drop its outbox row now. */
  private async finish(groups: EventGroup[]): Promise<void> {
    await this.postgres.run(RECORD_FIRST, [
      ...outcomeColumns([]),
      textColumn(groups, (group) => group.eventId),
      textColumn(groups, (group) => group.token),
    ]);
  }

  private async writeLater(outcomes: Outcome[]): Promise<void> {
    await this.postgres.run(RECORD_LATER, outcomeColumns(outcomes));
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

function outcomeColumns(outcomes: readonly Outcome[]): string[] {
  return [
    textColumn(outcomes, ({ task }) => task.deliveryId),
    textColumn(outcomes, ({ task }) => task.event.id),
    textColumn(outcomes, ({ task }) => task.webhookId),
    textColumn(outcomes, ({ task }) => task.event.type),
    textColumn(outcomes, ({ task }) => task.token),
    textColumn(outcomes, ({ status }) => status),
    literalColumn(outcomes, attemptsAfter),
    literalColumn(outcomes, ({ dueInMs }) => dueInMs),
    literalColumn(outcomes, ({ status }) => isFinal(status)),
    literalColumn(outcomes, ({ attempt }) => attempt?.statusCode),
    textColumn(outcomes, ({ error }) => error),
    literalColumn(outcomes, ({ attempt }) => attempt?.startedAtMs),
    literalColumn(outcomes, ({ attempt }) => attempt && Math.round(attempt.durationMs)),
    textColumn(outcomes, ({ attempt }) => attempt?.error),
    textColumn(outcomes, ({ attempt }) => attempt?.responseBody),
  ];
}

import { Inject, Injectable, Logger } from '@nestjs/common';
import { TIMINGS, type Timings } from '../../config/timings.js';
import { GroupCommit } from '../../database/group-commit.js';
import { PostgresClient, type PreparedStatement } from '../../database/postgres.client.js';
import { isContention, isItemsFault, isUniqueViolation } from '../../database/sql-errors.js';
import { logFailure } from '../../shared/log-failure.js';
import { retryUntilDone } from '../../shared/retry.timer.js';
import { LEASED_EVENTS } from '../leases/lease.statements.js';
import type { Outcome } from './outcome.js';
import {
  type BatchedEvent,
  EVENTS,
  FINISH_EVENTS,
  FIRST_OUTCOMES,
  type FirstOutcome,
  LATE_ATTEMPTS,
  LATER_OUTCOMES,
  RECORD_FIRST,
  RECORD_FIRST_AGAIN,
  RECORD_LATE,
  RECORD_LATER,
} from './outcome.statements.js';
import { type EventGroup, groupOf } from './task.js';

/**
 * No caller waits for an outcome, and a lone one is still written at once. Under load the longer gap
 * makes larger groups, which saves a tenth of what a delivery costs.
 */
const OUTCOME_GAP_MS = 20;

const RETRY_MIN_MS = 100;

/**
 * Writes outcomes by group commit, and retries while the store is away: what was sent must be
 * recorded. The worker keeps the task in memory until then, which bounds the outcomes that wait.
 */
@Injectable()
export class OutcomeStore {
  private readonly logger = new Logger(OutcomeStore.name);
  private readonly first = this.group((outcomes) => this.writeFirst(outcomes));
  private readonly later = this.group((outcomes) => this.writeLater(outcomes));
  private isGivingUp = false;

  constructor(
    private readonly postgres: PostgresClient,
    @Inject(TIMINGS) private readonly timings: Pick<Timings, 'outcomeRetryMaxMs'>,
  ) {}

  /**
   * Settles when the outcome is durable. Rejects only if the store refuses this very outcome, or
   * after {@link giveUp}; the lease then ends and another attempt is made.
   */
  record(outcome: Outcome): Promise<void> {
    return (groupOf(outcome.task) ? this.first : this.later).add(outcome);
  }

  /** At shutdown: no more retries against a store that is away. */
  giveUp(): void {
    this.isGivingUp = true;
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

  private async untilWritten(write: () => Promise<void>): Promise<void> {
    await retryUntilDone(write, {
      isFinal: (error) => isItemsFault(error) || this.isGivingUp,
      onError: (error) => {
        if (isContention(error)) return;
        logFailure(this.logger, 'error', 'outcomes are not written yet, trying again', error);
      },
      minWaitMs: RETRY_MIN_MS,
      maxWaitMs: this.timings.outcomeRetryMaxMs,
    });
  }

  private async writeFirst(outcomes: Outcome[]): Promise<void> {
    const { events, rows } = byEvent(outcomes);
    const written = await this.create([...EVENTS.values(events), ...FIRST_OUTCOMES.values(rows)]);
    for (const { group, count } of events) group.recorded += count;
    if (written < outcomes.length) await this.writeLate(outcomes);
    const late = events.filter((e) => !e.isFinished && e.group.recorded >= e.group.total);
    if (late.length > 0) {
      await this.postgres.run(FINISH_EVENTS, LEASED_EVENTS.values(late.map(({ group }) => group)));
    }
  }

  private async create(values: string[]): Promise<number> {
    const run = (statement: PreparedStatement) =>
      this.postgres.run<{ written: number }>(statement, values);
    const rows = await run(RECORD_FIRST).catch((error: unknown) => {
      if (isUniqueViolation(error)) return run(RECORD_FIRST_AGAIN);
      throw error;
    });
    return rows[0]!.written;
  }

  private async writeLater(outcomes: Outcome[]): Promise<void> {
    const values = LATER_OUTCOMES.values(outcomes);
    const [row] = await this.postgres.run<{ written: number }>(RECORD_LATER, values);
    if (row!.written < outcomes.length) await this.writeLate(outcomes);
  }

  /** Attempts that are not the latest of their delivery: their lease was lost. */
  private async writeLate(outcomes: Outcome[]): Promise<void> {
    const attempted = outcomes.filter(({ attempt }) => attempt !== null);
    if (attempted.length === 0) return;
    await this.postgres.run(RECORD_LATE, LATE_ATTEMPTS.values(attempted));
  }
}

/**
 * Two batches may be in flight: an event counts as finished only if all of its other outcomes are
 * durable already, or are in this very batch.
 */
function byEvent(outcomes: readonly Outcome[]): { events: BatchedEvent[]; rows: FirstOutcome[] } {
  const byGroup = new Map<EventGroup, BatchedEvent>();
  const rows: FirstOutcome[] = [];
  for (const outcome of outcomes) {
    const group = groupOf(outcome.task)!;
    let event = byGroup.get(group);
    if (!event) {
      event = { group, number: byGroup.size + 1, count: 0, isFinished: false };
      byGroup.set(group, event);
    }
    event.count++;
    rows.push({ outcome, event: event.number });
  }
  const events = [...byGroup.values()];
  for (const event of events) {
    event.isFinished = event.group.recorded + event.count >= event.group.total;
  }
  return { events, rows };
}

import { Inject, Injectable, Logger } from '@nestjs/common';
import { setTimeout as delay } from 'node:timers/promises';
import { CONFIG } from '../config/config.module.js';
import type { Config } from '../config/env.js';
import { TIMINGS, type Timings } from '../config/timings.js';
import { logFailure } from '../shared/log-failure.js';
import { ExpiredRowsStore, type Page, type Step } from './expired-rows.store.js';
import { LogPartitionsStore } from './log-partitions.store.js';
import {
  expiredBefore,
  expiredPartitions,
  LOG_TABLES,
  type LogTable,
  missingPartitions,
  type Partition,
} from './partition-plan.js';
import { RetentionLock, type Session } from './retention-lock.store.js';

const HOUR_MS = 3_600_000;

/** For a lock that is taken: between the tries, others that wait for the table get it. */
const MAX_TRIES = 5;

/** At the start the partitions should exist before the first event; a node that creates them is quick. */
const LOCK_TIMEOUT_MS = 3_000;

/** Between two small deletions, so that they are no load. */
const PAUSE_MS = 10;

/** 55P03: lock timeout; 57014: statement timeout; 40P01: deadlock. */
const isWorthRetrying = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && /^(55P03|57014|40P01)$/.test(String(error.code));

/**
 * Creates the partitions of the days to come, drops those that are older than the retention, and
 * deletes row by row only what was kept when its day was dropped, because it was still to be sent.
 * Every step is a transaction of its own and finds by itself what there is to do, so any node can go
 * on after a crash anywhere.
 */
@Injectable()
export class RetentionService {
  private readonly logger = new Logger(RetentionService.name);
  private readonly eventDays: number;
  private readonly keyHours: number;
  private readonly auditDays: number;

  constructor(
    private readonly lock: RetentionLock,
    private readonly partitions: LogPartitionsStore,
    private readonly rows: ExpiredRowsStore,
    @Inject(CONFIG) config: Config,
    @Inject(TIMINGS) private readonly timings: Timings,
  ) {
    this.eventDays = config.retention.eventDays;
    this.keyHours = config.retention.idempotencyKeyHours;
    this.auditDays = config.retention.auditDays;
  }

  /**
   * Creates the partitions that should exist at this time.
   * @throws if another node does so for too long, or PostgreSQL cannot be reached; no harm is done
   */
  async prepare(nowMs: number): Promise<void> {
    await this.lock.connected(async (session) => {
      if (missingPartitions(await this.partitions.list(session), nowMs).length === 0) return;
      await this.lock.take(session, LOCK_TIMEOUT_MS);
      await this.createAhead(session, nowMs);
    });
  }

  /**
   * One round of everything. What is dropped depends on the earlier one of this time and the
   * database's: a single wrong clock drops nothing. A table that is locked for long, for example by a
   * backup, is left to the next round.
   * @returns false if another node is doing it
   */
  run(nowMs: number, signal?: AbortSignal): Promise<boolean> {
    return this.lock.connected(async (session) => {
      if (!(await this.lock.tryTake(session))) return false;
      await this.createAhead(session, nowMs);
      const pastMs = Math.min(nowMs, await this.rows.clock(session));
      const heavy = await this.dropExpired(session, pastMs, signal);
      await this.deleteExpired(session, heavy, pastMs, signal);
      const keysBeforeMs = pastMs - this.keyHours * HOUR_MS;
      const keys = () => this.rows.deleteKeys(session, keysBeforeMs);
      await this.deleteSmall('retention.keys_forgotten', keys, signal);
      const auditBefore = expiredBefore(pastMs, this.auditDays);
      const entries = () => this.rows.deleteAudit(session, auditBefore);
      await this.deleteSmall('retention.audit_deleted', entries, signal);
      return true;
    });
  }

  private async createAhead(session: Session, nowMs: number): Promise<void> {
    for (const partition of missingPartitions(await this.partitions.list(session), nowMs)) {
      const isCreated = await this.withRetries(partition, () =>
        this.partitions.create(session, partition),
      );
      if (isCreated === undefined) return;
      if (!isCreated) this.logger.warn(line('retention.left_in_default', partition));
    }
  }

  /** @returns those that cannot be dropped, because too many of their rows have to be kept */
  private async dropExpired(
    session: Session,
    nowMs: number,
    signal?: AbortSignal,
  ): Promise<Partition[]> {
    const heavy: Partition[] = [];
    const existing = await this.partitions.list(session);
    for (const partition of expiredPartitions(existing, nowMs, this.eventDays)) {
      if (signal?.aborted) break;
      if (await this.partitions.hasMuchToKeep(session, partition)) {
        heavy.push(partition);
        continue;
      }
      const kept = await this.withRetries(partition, () =>
        this.partitions.drop(session, partition),
      );
      if (kept === undefined) break;
      this.logger.log({ ...line('retention.dropped', partition), kept });
    }
    return heavy;
  }

  /** In the order of the tables: which rows of one are deleted depends on those before it. */
  private async deleteExpired(
    session: Session,
    heavy: readonly Partition[],
    nowMs: number,
    signal?: AbortSignal,
  ): Promise<void> {
    const before = expiredBefore(nowMs, this.eventDays);
    for (const table of LOG_TABLES) {
      const parts = heavy.filter((part) => part.table === table);
      for (const { name } of [{ name: `${table}_default` }, ...parts]) {
        await this.deleteFrom(session, { table, name }, before, signal);
      }
    }
  }

  private async deleteFrom(
    session: Session,
    part: { table: LogTable; name: string },
    before: string,
    signal?: AbortSignal,
  ): Promise<void> {
    let deleted = 0;
    let last: string | null = '';
    do {
      const page: Page = await this.rows.deletePage(session, part, last, before);
      deleted += page.deleted;
      last = page.last;
    } while (last !== null && (await pause(signal)));
    if (deleted > 0) this.logger.log({ ...line('retention.deleted', part), deleted });
  }

  private async deleteSmall(
    message: string,
    step: () => Promise<Step>,
    signal?: AbortSignal,
  ): Promise<void> {
    let deleted = 0;
    let isMore = false;
    do {
      const done = await step();
      deleted += done.deleted;
      ({ isMore } = done);
    } while (isMore && (await pause(signal)));
    if (deleted > 0) this.logger.log({ message, deleted });
  }

  /** @returns undefined if the lock stays taken: that table is left to the next round */
  private async withRetries<T>(
    partition: Partition,
    run: () => Promise<T>,
  ): Promise<T | undefined> {
    for (let tries = 1; ; tries++) {
      try {
        return await run();
      } catch (error) {
        if (!isWorthRetrying(error)) throw error;
        if (tries === MAX_TRIES) {
          const { table, name } = partition;
          const fields = { table, partition: name };
          logFailure(this.logger, 'warn', 'retention.waits', error, fields);
          return undefined;
        }
        await delay(this.timings.retentionRetryMs * tries);
      }
    }
  }
}

const line = (message: string, { table, name }: { table: LogTable; name: string }) => ({
  message,
  table,
  partition: name,
});

/** @returns false if it is time to stop */
async function pause(signal: AbortSignal | undefined): Promise<boolean> {
  await delay(PAUSE_MS);
  return !signal?.aborted;
}

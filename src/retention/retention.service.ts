import { Inject, Injectable, Logger } from '@nestjs/common';
import { setTimeout as delay } from 'node:timers/promises';
import { CONFIG } from '../config/config.module.js';
import type { Config } from '../config/env.js';
import { ExpiredRowsStore, type Page } from './expired-rows.store.js';
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

/** For a lock that is not to be had: in the meantime whoever has it, and whoever waited, gets on. */
const TRIES = 5;
const RETRY_MS = 500;

/** At the start the days should be there before the first event is; a process that makes them is quick. */
const PATIENCE_MS = 3_000;

/** Between two small deletions, so that they are a trickle and not a load. */
const BREATH_MS = 10;

/** 55P03: the lock was not given in time; 57014: a statement took too long; 40P01: deadlock. */
const isWorthRetrying = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && /^(55P03|57014|40P01)$/.test(String(error.code));

/**
 * How long the log remembers. Makes the partitions of the days to come, drops those that are past
 * the retention, and deletes row by row only what could not go with its day: what was still owed
 * then. Every step is a transaction of its own and finds by itself what there is to do, so it may
 * end anywhere and be taken up again by anybody.
 */
@Injectable()
export class RetentionService {
  private readonly logger = new Logger(RetentionService.name);
  private readonly eventDays: number;
  private readonly keyHours: number;

  constructor(
    private readonly lock: RetentionLock,
    private readonly partitions: LogPartitionsStore,
    private readonly rows: ExpiredRowsStore,
    @Inject(CONFIG) config: Config,
  ) {
    this.eventDays = config.retention.eventDays;
    this.keyHours = config.retention.idempotencyKeyHours;
  }

  /**
   * Makes the partitions that should be there at this time, if they are not.
   * @throws if another process is at it for too long, or the store is away; nothing is lost by that
   */
  async prepare(nowMs: number): Promise<void> {
    await this.lock.connected(async (session) => {
      if (missingPartitions(await this.partitions.list(session), nowMs).length === 0) return;
      await this.lock.take(session, PATIENCE_MS);
      await this.createAhead(session, nowMs);
    });
  }

  /**
   * One round of everything. The time that counts for dropping is the earlier one of this and the
   * database's: one clock that is wrong drops nothing. What somebody holds for long, such as a
   * backup, is left to the next round.
   * @returns false if another process is at it
   */
  tend(nowMs: number, signal?: AbortSignal): Promise<boolean> {
    return this.lock.connected(async (session) => {
      if (!(await this.lock.tryTake(session))) return false;
      await this.createAhead(session, nowMs);
      const pastMs = Math.min(nowMs, await this.rows.clock(session));
      const heavy = await this.dropExpired(session, pastMs, signal);
      await this.deleteExpired(session, heavy, pastMs, signal);
      await this.forgetKeys(session, pastMs, signal);
      return true;
    });
  }

  private async createAhead(session: Session, nowMs: number): Promise<void> {
    for (const partition of missingPartitions(await this.partitions.list(session), nowMs)) {
      const made = await this.persistently(partition, () =>
        this.partitions.create(session, partition),
      );
      if (made === undefined) return;
      if (!made) this.logger.warn(line('retention.left_in_default', partition));
    }
  }

  /** @returns those that could not go as a whole, because too much of them is still owed */
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
      const kept = await this.persistently(partition, () =>
        this.partitions.drop(session, partition),
      );
      if (kept === undefined) break;
      this.logger.log({ ...line('retention.dropped', partition), kept });
    }
    return heavy;
  }

  /** In the order of the tables: what is gone from one is looked for by the next. */
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
    } while (last !== null && (await hasBreath(signal)));
    if (deleted > 0) this.logger.log({ ...line('retention.deleted', part), deleted });
  }

  private async forgetKeys(session: Session, nowMs: number, signal?: AbortSignal): Promise<void> {
    const beforeMs = nowMs - this.keyHours * HOUR_MS;
    let deleted = 0;
    let isMore = false;
    do {
      const step = await this.rows.forgetKeys(session, beforeMs);
      deleted += step.deleted;
      isMore = step.isMore;
    } while (isMore && (await hasBreath(signal)));
    if (deleted > 0) this.logger.log({ message: 'retention.keys_forgotten', deleted });
  }

  /** @returns undefined if a lock is not to be had: that table is left to the next round */
  private async persistently<T>(
    partition: Partition,
    run: () => Promise<T>,
  ): Promise<T | undefined> {
    for (let tries = 1; ; tries++) {
      try {
        return await run();
      } catch (error) {
        if (!isWorthRetrying(error)) throw error;
        if (tries === TRIES) {
          this.logger.warn({ ...line('retention.waits', partition), reason: String(error) });
          return undefined;
        }
        await delay(RETRY_MS * tries);
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
async function hasBreath(signal: AbortSignal | undefined): Promise<boolean> {
  await delay(BREATH_MS);
  return !signal?.aborted;
}

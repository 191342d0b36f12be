import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { DataSource, type EntityManager } from 'typeorm';
import {
  type AuditAction,
  type AuditActor,
  type AuditResource,
  type Change,
  resourceOf,
} from '../shared/audit.js';
import { firstSuffixAt, newId } from '../shared/ids.js';
import { Semaphore } from '../shared/semaphore.js';
import { Clock } from './clock.service.js';
import { AuditEntryEntity } from './entities/audit-entry.entity.js';

/** Rows of one statement: each has a parameter per column. */
const ROWS = 1_000;
/** Changes outside of PostgreSQL at a time: each has a connection while other nodes respond. */
const OUTSIDE_AT_ONCE = 1;

/** Which entries; what is absent does not narrow. */
export interface AuditSelection {
  /** Owner of the things that were changed. */
  ownerId?: string | undefined;
  userId?: string | undefined;
  action?: AuditAction | undefined;
  resourceType?: AuditResource | undefined;
  resourceId?: string | undefined;
  since?: Date | undefined;
  until?: Date | undefined;
  /** Only smaller ids. */
  beforeId?: string | undefined;
  limit: number;
}

/**
 * The audit log. Whatever changes what a caller has configured or asked for records it here, in the
 * transaction of the change: there is no change without its entry, and no entry without its change.
 */
@Injectable()
export class AuditLogStore {
  private readonly outside = new Semaphore(OUTSIDE_AT_ONCE);

  constructor(
    @InjectDataSource() private readonly dataSource: DataSource,
    private readonly clock: Clock,
  ) {}

  /** Records changes in the transaction that makes them. */
  async record(tx: EntityManager, actor: AuditActor, ...changes: Change[]): Promise<void> {
    const rows = changes.map((change) => this.entryOf(actor, change));
    for (let start = 0; start < rows.length; start += ROWS) {
      await tx.insert(AuditEntryEntity, rows.slice(start, start + ROWS));
    }
  }

  /**
   * For a change outside of PostgreSQL, such as ending a connection: its entry is written before, and
   * committed if the change succeeds. Nothing is changed if it cannot be written.
   */
  recordAround<T>(actor: AuditActor, change: Change, act: () => Promise<T>): Promise<T> {
    return this.outside.take(() =>
      this.dataSource.transaction(async (tx) => {
        await this.record(tx, actor, change);
        return act();
      }),
    );
  }

  /** Newest first. */
  list({ since, until, beforeId, limit, ...equal }: AuditSelection): Promise<AuditEntryEntity[]> {
    const query = this.dataSource.manager
      .createQueryBuilder(AuditEntryEntity, 'a')
      .orderBy('a.id', 'DESC')
      .limit(limit);
    for (const [field, value] of Object.entries(equal)) {
      if (value !== undefined) query.andWhere(`a.${field} = :${field}`, { [field]: value });
    }
    // By id, which holds the time, so that an index serves it.
    if (since) query.andWhere('a.id >= :since', { since: firstIdAt(since) });
    if (until) query.andWhere('a.id < :until', { until: firstIdAt(until) });
    if (beforeId !== undefined) query.andWhere('a.id < :beforeId', { beforeId });
    return query.getMany();
  }

  private entryOf(actor: AuditActor, change: Change): AuditEntryEntity {
    const by = actor === 'system' ? undefined : actor;
    return {
      id: newId('aud', this.clock.nowMs()),
      ownerId: change.ownerId,
      actorOwnerId: by?.ownerId ?? null,
      userId: by?.userId ?? null,
      apiKeyId: by?.apiKeyId ?? null,
      roles: [...(by?.roles ?? [])],
      action: change.action,
      resourceType: resourceOf(change.action),
      resourceId: change.resourceId,
      changes: JSON.stringify(change.changes),
      address: by?.origin?.address ?? null,
      requestId: by?.origin?.requestId ?? null,
    };
  }
}

const firstIdAt = (time: Date): string => `aud_${firstSuffixAt(time.getTime())}`;

import { Module } from '@nestjs/common';
import { ExpiredRowsStore } from './expired-rows.store.js';
import { LogPartitionsStore } from './log-partitions.store.js';
import { RetentionLock } from './retention-lock.store.js';
import { RetentionLoop } from './retention-loop.service.js';
import { RetentionService } from './retention.service.js';

/**
 * Keeps the log as long as EVENT_RETENTION_DAYS and IDEMPOTENCY_KEY_HOURS say, and the audit log
 * as AUDIT_RETENTION_DAYS does. It is part of every
 * node, because any of them may be the only one; one at a time does the work.
 */
@Module({
  providers: [RetentionLock, LogPartitionsStore, ExpiredRowsStore, RetentionService, RetentionLoop],
})
export class RetentionModule {}

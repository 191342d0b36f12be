import { Module } from '@nestjs/common';
import { ExpiredRowsStore } from './expired-rows.store.js';
import { LogPartitionsStore } from './log-partitions.store.js';
import { RetentionLock } from './retention-lock.store.js';
import { RetentionLoop } from './retention-loop.service.js';
import { RetentionService } from './retention.service.js';

/**
 * How long the log remembers (EVENT_RETENTION_DAYS, IDEMPOTENCY_KEY_HOURS). In every process, because
 * any of them may be the only one; one at a time does the work.
 */
@Module({
  providers: [RetentionLock, LogPartitionsStore, ExpiredRowsStore, RetentionService, RetentionLoop],
})
export class RetentionModule {}

import { loadConfig } from '../../src/config/env.js';
import type { PostgresClient } from '../../src/database/postgres.client.js';
import { ExpiredRowsStore } from '../../src/retention/expired-rows.store.js';
import { LogPartitionsStore } from '../../src/retention/log-partitions.store.js';
import { RetentionLock } from '../../src/retention/retention-lock.store.js';
import { RetentionService } from '../../src/retention/retention.service.js';
import { ALL_TEST_TIMINGS } from './timings.js';

/** Retention as one node runs it; with the product's own setting unless a test gives another. */
export function retentionOf(postgres: PostgresClient, days?: number): RetentionService {
  const config = loadConfig({
    NODE_ENV: 'test',
    JWT_SECRET: 'a-secret-of-the-tests',
    SECRETS_KEY: Buffer.alloc(32, 7).toString('base64'),
    ...(days !== undefined && { EVENT_RETENTION_DAYS: String(days) }),
  });
  const lock = new RetentionLock(postgres);
  return new RetentionService(
    lock,
    new LogPartitionsStore(),
    new ExpiredRowsStore(),
    config,
    ALL_TEST_TIMINGS,
  );
}

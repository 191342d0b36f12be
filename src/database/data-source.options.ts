import type { DataSourceOptions } from 'typeorm';
import { migrations } from '../../migrations/index.js';
import { PRODUCTION_TIMINGS } from '../config/timings.js';
import { ApiKeyEntity } from './entities/api-key.entity.js';
import { AuditEntryEntity } from './entities/audit-entry.entity.js';
import { BulkOperationEntity } from './entities/bulk-operation.entity.js';
import { DeliveryAttemptEntity } from './entities/delivery-attempt.entity.js';
import { DeliveryEntity } from './entities/delivery.entity.js';
import { EventTypeEntity } from './entities/event-type.entity.js';
import { EventEntity } from './entities/event.entity.js';
import { WebhookEntity } from './entities/webhook.entity.js';
import { type ConnectionOptions, postgresDriver } from './postgres.driver.js';

/** Where PostgreSQL is: a URL, or the socket directory of the embedded one. */
export type DatabaseConnection =
  | {
      url: string;
      /** Of the server itself where `url` is a pooler's; for LISTEN, advisory locks, migrations. */
      directUrl?: string | undefined;
    }
  | { host: string; port: number; user: string; database: string };

/** Connections per process for prepared statements: two writers at each end of the pipeline, readers. */
const ENGINE_POOL_SIZE = 8;
/** The same for repositories and transactions. */
const POOL_SIZE = 4;

const CONNECT_TIMEOUT_MS = 5_000;
/** A statement that takes this long waits for a lock; the caller gets a 503. */
export const STATEMENT_TIMEOUT_MS = 30_000;
/** Devices on the way forget connections on which nothing is sent, often after some minutes. */
const KEEP_ALIVE_MS = 10_000;

interface Limits {
  /** The longest that a statement may run; 0: for ever. */
  statementTimeoutMs?: number;
  /** See `Timings`. */
  silentMs?: number;
}

/** The data source of the application, of the command line and of the tests. */
export function dataSourceOptions(
  connection: DatabaseConnection,
  {
    statementTimeoutMs = STATEMENT_TIMEOUT_MS,
    silentMs = PRODUCTION_TIMINGS.silentStatementMs,
  }: Limits = {},
): DataSourceOptions {
  return {
    type: 'postgres',
    driver: postgresDriver,
    ...('url' in connection
      ? { url: connection.url }
      : {
          host: connection.host,
          port: connection.port,
          username: connection.user,
          database: connection.database,
        }),
    entities: [
      ApiKeyEntity,
      AuditEntryEntity,
      BulkOperationEntity,
      DeliveryAttemptEntity,
      DeliveryEntity,
      EventEntity,
      EventTypeEntity,
      WebhookEntity,
    ],
    migrations,
    migrationsTableName: 'migrations',
    // The application makes the ids, so no extension is needed.
    uuidExtension: 'pgcrypto',
    installExtensions: false,
    poolSize: POOL_SIZE,
    connectTimeoutMS: CONNECT_TIMEOUT_MS,
    applicationName: 'tidings',
    extra: {
      statementTimeoutMs,
      silentMs,
      enginePoolSize: ENGINE_POOL_SIZE,
      ...('url' in connection && { directUrl: connection.directUrl }),
      keepAlive: true,
      keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
    } satisfies Partial<ConnectionOptions>,
  };
}

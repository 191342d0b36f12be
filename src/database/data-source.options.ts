import type { DataSourceOptions } from 'typeorm';
import { migrations } from '../../migrations/index.js';
import { ApiKeyEntity } from './entities/api-key.entity.js';
import { BulkOperationEntity } from './entities/bulk-operation.entity.js';
import { DeliveryAttemptEntity } from './entities/delivery-attempt.entity.js';
import { DeliveryEntity } from './entities/delivery.entity.js';
import { EventTypeEntity } from './entities/event-type.entity.js';
import { EventEntity } from './entities/event.entity.js';
import { WebhookEntity } from './entities/webhook.entity.js';
import { postgresDriver } from './postgres.driver.js';

/** Where PostgreSQL is: a URL, or the socket directory of the embedded one. */
export type DatabaseConnection =
  { url: string } | { host: string; port: number; user: string; database: string };

/** Connections per process: two writers at each end of the pipeline, the others for requests. */
const POOL_SIZE = 12;

/**
 * How PostgreSQL plans our statements, which all find their rows by an index.
 *
 * - `jit`: PostgreSQL estimates millions of due rows over partitions that were never analyzed, and
 *   compiles for them: 200-450 ms for a sweep that finds nothing.
 * - `enable_seqscan`, `enable_bitmapscan`: tables that work passes through are almost empty when they
 *   are analyzed, and hold a backlog a minute later. Each statement would then read or sort the
 *   whole backlog.
 *
 * `options` in the URL of the database replaces these.
 */
const PLANNING = '-c jit=off -c enable_seqscan=off -c enable_bitmapscan=off';

/** The data source of the application, of the command line and of the tests. */
export function dataSourceOptions(connection: DatabaseConnection): DataSourceOptions {
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
    connectTimeoutMS: 5_000,
    applicationName: 'tidings',
    extra: {
      // A statement that takes this long waits for a lock; the caller gets a 503.
      statement_timeout: 30_000,
      idle_in_transaction_session_timeout: 60_000,
      keepAlive: true,
      options: PLANNING,
    },
  };
}

import type { DataSourceOptions } from 'typeorm';
import { migrations } from '../../migrations/index.js';
import { ApiKeyEntity } from './entities/api-key.entity.js';
import { BulkOperationSliceEntity } from './entities/bulk-operation-slice.entity.js';
import { BulkOperationTargetEntity } from './entities/bulk-operation-target.entity.js';
import { BulkOperationEntity } from './entities/bulk-operation.entity.js';
import { DeliveryAttemptEntity } from './entities/delivery-attempt.entity.js';
import { DeliveryEntity } from './entities/delivery.entity.js';
import { EventOutboxEntity } from './entities/event-outbox.entity.js';
import { EventTypeEntity } from './entities/event-type.entity.js';
import { EventEntity } from './entities/event.entity.js';
import { IdempotencyKeyEntity } from './entities/idempotency-key.entity.js';
import { RealtimeConnectionEntity } from './entities/realtime-connection.entity.js';
import { WebhookCircuitEntity } from './entities/webhook-circuit.entity.js';
import { WebhookLaneEntity } from './entities/webhook-lane.entity.js';
import { WebhookRegistryEntity } from './entities/webhook-registry.entity.js';
import { WebhookEntity } from './entities/webhook.entity.js';

/** Where PostgreSQL is: a URL, or the socket directory of the embedded one. */
export type DatabaseConnection =
  { url: string } | { host: string; port: number; user: string; database: string };

/** Connections per process: two writers at each end of the pipeline, and room for requests. */
const POOL_SIZE = 12;

/**
 * How PostgreSQL plans our statements, all of which find what they need by an index.
 *
 * - `jit`: what is due is estimated at millions of rows over partitions that were never analyzed, and
 *   compiled for them: 200-450 ms for a sweep that finds nothing.
 * - `enable_seqscan`, `enable_bitmapscan`: tables that work passes through are all but empty when they
 *   are analyzed, and hold a backlog a minute later. Reading them whole, or sorting what is due, would
 *   by then cost each statement as much as there is to do.
 *
 * `options` in the URL of the database takes the place of these.
 */
const PLANNING = '-c jit=off -c enable_seqscan=off -c enable_bitmapscan=off';

/** The one description of the data source: the application, the command line and the tests use it. */
export function dataSourceOptions(connection: DatabaseConnection): DataSourceOptions {
  return {
    type: 'postgres',
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
      BulkOperationSliceEntity,
      BulkOperationTargetEntity,
      DeliveryAttemptEntity,
      DeliveryEntity,
      EventEntity,
      EventOutboxEntity,
      EventTypeEntity,
      IdempotencyKeyEntity,
      RealtimeConnectionEntity,
      WebhookCircuitEntity,
      WebhookLaneEntity,
      WebhookEntity,
      WebhookRegistryEntity,
    ],
    migrations,
    migrationsTableName: 'migrations',
    // Ids are made by the application: no extension is needed, so none is asked for.
    uuidExtension: 'pgcrypto',
    installExtensions: false,
    poolSize: POOL_SIZE,
    connectTimeoutMS: 5_000,
    applicationName: 'tidings',
    extra: {
      // A statement of ours that takes this long is stuck behind a lock; the caller gets a 503.
      statement_timeout: 30_000,
      idle_in_transaction_session_timeout: 60_000,
      keepAlive: true,
      options: PLANNING,
    },
  };
}

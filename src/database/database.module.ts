import { type DynamicModule, Global, Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { DataSource, type DataSourceOptions } from 'typeorm';
import type { Timings } from '../config/timings.js';
import { AuditLogStore } from './audit-log.store.js';
import { Clock, clockProvider } from './clock.service.js';
import { ClockStore } from './clock.store.js';
import {
  type DatabaseConnection,
  dataSourceOptions,
  STATEMENT_TIMEOUT_MS,
} from './data-source.options.js';
import { migrateUnderLock } from './migrate.store.js';
import { NotificationListener } from './notification.listener.js';
import { NotificationsStore } from './notifications.store.js';
import { needsDirectUrl, sharesSessions, storeRoleSettings } from './pooler.store.js';
import { PostgresClient } from './postgres.client.js';
import { StartPeriod } from './start.timer.js';

/**
 * The connection to PostgreSQL. Migrates before other modules use it; offers TypeORM repositories and,
 * for the hot path, prepared statements.
 */
@Global()
@Module({})
export class DatabaseModule {
  static forRoot(connection: DatabaseConnection, timings: Timings): DynamicModule {
    const start = new StartPeriod(timings);
    const limits = { silentMs: timings.silentStatementMs };
    return {
      module: DatabaseModule,
      imports: [
        TypeOrmModule.forRootAsync({
          useFactory: () => ({
            ...dataSourceOptions(connection, limits),
            autoLoadEntities: false,
            // It is tried again here, by the kind of the error.
            retryAttempts: 1,
          }),
          dataSourceFactory: (options?: DataSourceOptions) =>
            start.untilDone(() => connected(connection, options!)),
        }),
      ],
      providers: [
        PostgresClient,
        NotificationListener,
        NotificationsStore,
        ClockStore,
        clockProvider,
        AuditLogStore,
      ],
      exports: [PostgresClient, NotificationListener, NotificationsStore, Clock, AuditLogStore],
    };
  }
}

/** Connects, and migrates over a connection to the server itself. */
async function connected(
  connection: DatabaseConnection,
  options: DataSourceOptions,
): Promise<DataSource> {
  const dataSource = await new DataSource(options).initialize();
  try {
    const isShared = await sharesSessions(dataSource);
    const directUrl = 'url' in connection ? connection.directUrl : undefined;
    if (directUrl === undefined) {
      if (isShared) throw needsDirectUrl();
      await migrateUnderLock(dataSource);
      return dataSource;
    }
    const direct = await new DataSource(dataSourceOptions({ url: directUrl })).initialize();
    try {
      await migrateUnderLock(direct);
      if (isShared) await storeRoleSettings(direct, STATEMENT_TIMEOUT_MS);
    } finally {
      await direct.destroy();
    }
    return dataSource;
  } catch (error) {
    await dataSource.destroy().catch(() => undefined);
    throw error;
  }
}

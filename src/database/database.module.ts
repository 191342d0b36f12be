import { type DynamicModule, Global, Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { DataSource, type DataSourceOptions } from 'typeorm';
import { Clock, clockProvider } from './clock.service.js';
import { ClockStore } from './clock.store.js';
import { type DatabaseConnection, dataSourceOptions } from './data-source.options.js';
import { migrateUnderLock } from './migrate.store.js';
import { NotificationListener } from './notification.listener.js';
import { NotificationsStore } from './notifications.store.js';
import { PostgresClient } from './postgres.client.js';

/**
 * The connection to PostgreSQL. Migrates before other modules use it; offers TypeORM repositories and,
 * for the hot path, prepared statements.
 */
@Global()
@Module({})
export class DatabaseModule {
  static forRoot(connection: DatabaseConnection): DynamicModule {
    return {
      module: DatabaseModule,
      imports: [
        TypeOrmModule.forRootAsync({
          useFactory: () => ({ ...dataSourceOptions(connection), autoLoadEntities: false }),
          dataSourceFactory: async (options?: DataSourceOptions) => {
            const dataSource = await new DataSource(options!).initialize();
            await migrateUnderLock(dataSource);
            return dataSource;
          },
        }),
      ],
      providers: [
        PostgresClient,
        NotificationListener,
        NotificationsStore,
        ClockStore,
        clockProvider,
      ],
      exports: [PostgresClient, NotificationListener, NotificationsStore, Clock],
    };
  }
}

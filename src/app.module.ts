import { type DynamicModule, Module, type Type } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { AsyncApiModule } from './asyncapi/asyncapi.module.js';
import { AuditModule } from './audit/audit.module.js';
import { AuthModule } from './auth/auth.module.js';
import { ClusterModule } from './cluster/cluster.module.js';
import { ConfigModule } from './config/config.module.js';
import type { Config } from './config/env.js';
import { PRODUCTION_TIMINGS, type Timings } from './config/timings.js';
import type { DatabaseConnection } from './database/data-source.options.js';
import { DatabaseModule } from './database/database.module.js';
import { DeliveryModule } from './delivery/delivery.module.js';
import { EventsModule } from './events/events.module.js';
import { HealthModule } from './health/health.module.js';
import { DeliveryLoopGuard } from './http/delivery-loop.guard.js';
import { RealtimeModule } from './realtime/realtime.module.js';
import { RequestBinModule } from './request-bin/request-bin.module.js';
import { RetentionModule } from './retention/retention.module.js';
import { SystemEventsModule } from './system-events/system-events.module.js';
import { WebhooksModule } from './webhooks/webhooks.module.js';

export interface AppOptions {
  /** Other timings, for tests; those that are not named are the product's. */
  timings?: Partial<Timings>;
  /** Modules of an application that Tidings is built into, which inject `EventsService`. */
  modules?: readonly (Type | DynamicModule)[];
}

/**
 * The root module. Every node has the log, the webhooks and the queue; its ROLES decide whether it
 * also makes attempts and serves live connections.
 */
@Module({})
export class AppModule {
  static forRoot(
    config: Config,
    connection: DatabaseConnection,
    { timings, modules = [] }: AppOptions = {},
  ): DynamicModule {
    const all = { ...PRODUCTION_TIMINGS, ...timings };
    return {
      module: AppModule,
      imports: [
        ConfigModule.forRoot(config, all),
        DatabaseModule.forRoot(connection, all),
        ClusterModule.forRoot(config),
        SystemEventsModule,
        AuthModule,
        WebhooksModule,
        DeliveryModule.forRoot(config),
        RealtimeModule.forRoot(config),
        EventsModule,
        AuditModule,
        RetentionModule,
        HealthModule,
        ...(config.roles.has('api') ? [AsyncApiModule] : []),
        ...(config.roles.has('api') && !config.production ? [RequestBinModule] : []),
        ...modules,
      ],
      providers: [{ provide: APP_GUARD, useClass: DeliveryLoopGuard }],
    };
  }
}

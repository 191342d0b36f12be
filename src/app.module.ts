import { type DynamicModule, Module } from '@nestjs/common';
import { AuthModule } from './auth/auth.module.js';
import { ConfigModule } from './config/config.module.js';
import type { Config } from './config/env.js';
import type { DatabaseConnection } from './database/data-source.options.js';
import { DatabaseModule } from './database/database.module.js';
import { DeliveryModule } from './delivery/delivery.module.js';
import { DeliveryWorkerModule } from './delivery/delivery-worker.module.js';
import { EventsModule } from './events/events.module.js';
import { HealthModule } from './health/health.module.js';
import { RealtimeModule } from './realtime/realtime.module.js';
import { RequestBinModule } from './request-bin/request-bin.module.js';
import { WebhooksModule } from './webhooks/webhooks.module.js';

/**
 * The wiring diagram. Every process has the log, the webhooks and the queue; which of the roles it
 * plays (ROLES) decides whether it also makes the attempts and holds sockets.
 */
@Module({})
export class AppModule {
  static forRoot(config: Config, connection: DatabaseConnection): DynamicModule {
    const delivery = DeliveryModule.forRoot(config);
    const realtime = RealtimeModule.forRoot(config);
    return {
      module: AppModule,
      imports: [
        ConfigModule.forRoot(config),
        DatabaseModule.forRoot(connection),
        AuthModule,
        WebhooksModule,
        delivery,
        realtime,
        EventsModule.forRoot(delivery, realtime),
        HealthModule.forRoot(delivery),
        ...(config.roles.has('worker')
          ? [DeliveryWorkerModule.forRoot(config, delivery, realtime)]
          : []),
        ...(config.production ? [] : [RequestBinModule]),
      ],
    };
  }
}

import { type DynamicModule, Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { AuthModule } from '../auth/auth.module.js';
import { EventEntity } from '../database/entities/event.entity.js';
import { WebhooksModule } from '../webhooks/webhooks.module.js';
import { EventStore } from './event.store.js';
import { EventsController } from './events.controller.js';
import { EventsService } from './events.service.js';

/**
 * The event log: accepting events over REST or from other modules through {@link EventsService},
 * which is what they inject, and reading them back.
 */
@Module({})
export class EventsModule {
  /** @param needed the application's delivery and realtime modules */
  static forRoot(...needed: DynamicModule[]): DynamicModule {
    return {
      module: EventsModule,
      imports: [TypeOrmModule.forFeature([EventEntity]), AuthModule, WebhooksModule, ...needed],
      controllers: [EventsController],
      providers: [EventsService, EventStore],
      exports: [EventsService],
    };
  }
}

import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { AuthModule } from '../auth/auth.module.js';
import { EventEntity } from '../database/entities/event.entity.js';
import { EventTypesModule } from '../event-types/event-types.module.js';
import { WebhooksModule } from '../webhooks/webhooks.module.js';
import { EventLogStore } from './event-log.store.js';
import { EventsController } from './events.controller.js';
import { EventsService } from './events.service.js';
import { EventPublisher } from './publisher.service.js';
import { SystemEventPublisher } from './system-event-publisher.service.js';
import { TransientEvents } from './transient.service.js';

/**
 * Accepts events over REST or from other modules, which inject {@link EventsService}, publishes them,
 * and reads the event log. Needs the delivery and realtime modules that the application has
 * configured.
 */
@Module({
  imports: [TypeOrmModule.forFeature([EventEntity]), AuthModule, EventTypesModule, WebhooksModule],
  controllers: [EventsController],
  providers: [EventsService, EventPublisher, EventLogStore, TransientEvents, SystemEventPublisher],
  exports: [EventsService],
})
export class EventsModule {}

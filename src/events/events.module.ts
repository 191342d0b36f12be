import { type BeforeApplicationShutdown, Module, type OnModuleInit } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { AuthModule } from '../auth/auth.module.js';
import { EventEntity } from '../database/entities/event.entity.js';
import { EventTypesModule } from '../event-types/event-types.module.js';
import { SystemEvents } from '../system-events/system-events.service.js';
import { WebhooksModule } from '../webhooks/webhooks.module.js';
import { EventStore } from './event.store.js';
import { EventsController } from './events.controller.js';
import { EventsService } from './events.service.js';
import { TransientEvents } from './transient.service.js';

/**
 * The event log: accepting events over REST or from other modules through {@link EventsService},
 * which is what they inject, and reading them back. Needs the delivery and realtime modules that the
 * application has configured.
 */
@Module({
  imports: [TypeOrmModule.forFeature([EventEntity]), AuthModule, EventTypesModule, WebhooksModule],
  controllers: [EventsController],
  providers: [EventsService, EventStore, TransientEvents],
  exports: [EventsService],
})
export class EventsModule implements OnModuleInit, BeforeApplicationShutdown {
  constructor(
    private readonly events: EventsService,
    private readonly systemEvents: SystemEvents,
  ) {}

  onModuleInit(): void {
    this.systemEvents.connect((batch) => this.events.publishSystemEvents(batch));
  }

  /** Before the stores close: the last events are still to be written. */
  async beforeApplicationShutdown(): Promise<void> {
    await this.systemEvents.close();
  }
}

import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { AuthModule } from '../auth/auth.module.js';
import { EventTypeEntity } from '../database/entities/event-type.entity.js';
import { EventTypeCache } from './event-type-cache.service.js';
import { EventTypesController } from './event-types.controller.js';
import { EventTypesService } from './event-types.service.js';
import { EventTypesStore } from './event-types.store.js';

/**
 * The catalogue of event types: admins write it over REST, and every node keeps a copy in memory
 * for publishing.
 */
@Module({
  imports: [TypeOrmModule.forFeature([EventTypeEntity]), AuthModule],
  controllers: [EventTypesController],
  providers: [EventTypesService, EventTypeCache, EventTypesStore],
  exports: [EventTypeCache],
})
export class EventTypesModule {}

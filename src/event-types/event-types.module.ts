import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { AuthModule } from '../auth/auth.module.js';
import { EventTypeEntity } from '../database/entities/event-type.entity.js';
import { EventTypeRegistry } from './event-type-registry.service.js';
import { EventTypesController } from './event-types.controller.js';
import { EventTypesService } from './event-types.service.js';

/**
 * The catalogue of event types: admins write it over REST, and every process keeps a copy in memory
 * for publishing.
 */
@Module({
  imports: [TypeOrmModule.forFeature([EventTypeEntity]), AuthModule],
  controllers: [EventTypesController],
  providers: [EventTypesService, EventTypeRegistry],
  exports: [EventTypeRegistry],
})
export class EventTypesModule {}

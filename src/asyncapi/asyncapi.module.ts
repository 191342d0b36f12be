import { Module } from '@nestjs/common';
import { AuthModule } from '../auth/auth.module.js';
import { EventTypesModule } from '../event-types/event-types.module.js';
import { AsyncApiController } from './asyncapi.controller.js';

/** Describes the live connections for tools, at `/docs/asyncapi.json`. Carries nothing itself. */
@Module({ imports: [AuthModule, EventTypesModule], controllers: [AsyncApiController] })
export class AsyncApiModule {}

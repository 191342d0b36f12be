import { Global, Module } from '@nestjs/common';
import { SystemEvents } from './system-events.service.js';

/** The queue through which every part of the product reports about itself. */
@Global()
@Module({ providers: [SystemEvents], exports: [SystemEvents] })
export class SystemEventsModule {}

import { Global, Module } from '@nestjs/common';
import { SystemEvents } from './system-events.service.js';

/** One outlet for everybody who has something to tell about the system itself. */
@Global()
@Module({ providers: [SystemEvents], exports: [SystemEvents] })
export class SystemEventsModule {}

import { type DynamicModule, Global, Module } from '@nestjs/common';
import type { Config } from './env.js';
import { TIMINGS, type Timings } from './timings.js';

/** Injection token of the parsed configuration ({@link Config}). */
export const CONFIG = Symbol('CONFIG');

/** Provides the configuration, which is read once before the application exists, and the timings. */
@Global()
@Module({})
export class ConfigModule {
  static forRoot(config: Config, timings: Timings): DynamicModule {
    return {
      module: ConfigModule,
      providers: [
        { provide: CONFIG, useValue: config },
        { provide: TIMINGS, useValue: timings },
      ],
      exports: [CONFIG, TIMINGS],
    };
  }
}

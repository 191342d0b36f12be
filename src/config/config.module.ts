import { type DynamicModule, Global, Module } from '@nestjs/common';
import type { Config } from './env.js';

/** Injection token of the parsed configuration ({@link Config}). */
export const CONFIG = Symbol('CONFIG');

/** Hands the configuration, read once before the application exists, to whoever asks for it. */
@Global()
@Module({})
export class ConfigModule {
  static forRoot(config: Config): DynamicModule {
    return {
      module: ConfigModule,
      providers: [{ provide: CONFIG, useValue: config }],
      exports: [CONFIG],
    };
  }
}

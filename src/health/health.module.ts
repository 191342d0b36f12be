import { type DynamicModule, Module } from '@nestjs/common';
import { TerminusModule } from '@nestjs/terminus';
import { HealthController } from './health.controller.js';
import { LagIndicator } from './lag.indicator.js';
import { QueueIndicator } from './queue.indicator.js';

/** Tells orchestrators whether the process lives, and whether its stores answer. */
@Module({})
export class HealthModule {
  /** @param delivery the application's delivery module, whose queue is asked */
  static forRoot(delivery: DynamicModule): DynamicModule {
    return {
      module: HealthModule,
      imports: [TerminusModule.forRoot({ logger: false }), delivery],
      controllers: [HealthController],
      providers: [QueueIndicator, LagIndicator],
    };
  }
}

import { Module } from '@nestjs/common';
import { TerminusModule } from '@nestjs/terminus';
import { HealthController } from './health.controller.js';
import { LagIndicator } from './lag.indicator.js';
import { LagStore } from './lag.store.js';
import { QueueIndicator } from './queue.indicator.js';

/** Shows orchestrators whether the process is alive and its stores answer. */
@Module({
  imports: [TerminusModule.forRoot({ logger: false })],
  controllers: [HealthController],
  providers: [QueueIndicator, LagIndicator, LagStore],
})
export class HealthModule {}

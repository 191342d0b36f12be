import { Module } from '@nestjs/common';
import { TerminusModule } from '@nestjs/terminus';
import { HealthController } from './health.controller.js';
import { DatabaseIndicator, LagIndicator, QueueIndicator } from './health.indicators.js';
import { LagStore } from './lag.store.js';

/** Shows orchestrators whether the process is alive and its stores answer. */
@Module({
  imports: [TerminusModule.forRoot({ logger: false })],
  controllers: [HealthController],
  providers: [DatabaseIndicator, QueueIndicator, LagIndicator, LagStore],
})
export class HealthModule {}

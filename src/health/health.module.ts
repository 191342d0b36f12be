import { Module } from '@nestjs/common';
import { TerminusModule } from '@nestjs/terminus';
import { HealthController } from './health.controller.js';
import { HealthIndicators } from './health.indicators.js';
import { LagStore } from './lag.store.js';
import { Shutdown } from './shutdown.service.js';

/** Shows orchestrators whether the process is alive, can do its work, and is about to stop. */
@Module({
  imports: [TerminusModule.forRoot({ logger: false })],
  controllers: [HealthController],
  providers: [HealthIndicators, LagStore, Shutdown],
})
export class HealthModule {}

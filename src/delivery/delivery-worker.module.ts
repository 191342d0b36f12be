import { BullModule } from '@nestjs/bull';
import { type DynamicModule, Module } from '@nestjs/common';
import type { Config } from '../config/env.js';
import { OutboundModule } from '../outbound/outbound.module.js';
import { WebhooksModule } from '../webhooks/webhooks.module.js';
import { BulkRunner } from './bulk/bulk-runner.service.js';
import { BulkStep } from './bulk/bulk-step.service.js';
import { BulkStepStore } from './bulk/bulk-step.store.js';
import { AttemptService } from './sending/attempt.service.js';
import { ChunkConsumer } from './handover/chunk-consumer.service.js';
import { ClaimsService } from './claims/claims.service.js';
import { DeadLetterNotifier } from './sending/dead-letter-notifier.service.js';
import { DELIVERY_QUEUE_NAME } from './handover/delivery.queue.js';
import { DeliveryLifecycle } from './delivery-lifecycle.service.js';
import { DeliveryProcessor } from './handover/bull.processor.js';
import { DeliveryWorker } from './sending/worker.service.js';
import { DueDeliveriesStore } from './claims/due.store.js';
import { ExpiredDeliveriesStore } from './claims/expired.store.js';
import { Expiry } from './claims/expiry.service.js';
import { DeferredDeliveriesStore } from './deferred/deferred.store.js';
import { DeferredScheduler } from './deferred/scheduler.service.js';
import { ExclusiveWebhooks } from './exclusive/exclusive-webhooks.service.js';
import { ExclusiveWebhooksStore } from './exclusive/exclusive-webhooks.store.js';
import { DeferredPull } from './deferred/deferred-pull.service.js';
import { OrphanedDeliveriesStore } from './deferred/orphaned.store.js';
import { OutboxStore } from './claims/outbox.store.js';
import { OutcomeStore } from './sending/outcome.store.js';
import { consumerOptions } from './handover/redis-options.js';
import { Sweeper } from './claims/sweeper.service.js';

/**
 * Makes the attempts. A process that imports it is a worker: it consumes the queue, sweeps what is
 * due, and takes events directly from a publisher that shares the process. Needs the delivery and
 * realtime modules that the application has configured.
 */
@Module({})
export class DeliveryWorkerModule {
  static forRoot({ redisUrl }: Config): DynamicModule {
    return {
      module: DeliveryWorkerModule,
      imports: [
        ...(redisUrl === undefined
          ? []
          : [
              BullModule.registerQueue({ name: DELIVERY_QUEUE_NAME, ...consumerOptions(redisUrl) }),
            ]),
        OutboundModule,
        WebhooksModule,
      ],
      providers: [
        AttemptService,
        BulkRunner,
        BulkStep,
        BulkStepStore,
        ChunkConsumer,
        ClaimsService,
        DeadLetterNotifier,
        DeliveryLifecycle,
        DeliveryWorker,
        DueDeliveriesStore,
        ExpiredDeliveriesStore,
        Expiry,
        DeferredDeliveriesStore,
        DeferredScheduler,
        ExclusiveWebhooks,
        ExclusiveWebhooksStore,
        DeferredPull,
        OutboxStore,
        OutcomeStore,
        Sweeper,
        OrphanedDeliveriesStore,
        ...(redisUrl === undefined ? [] : [DeliveryProcessor]),
      ],
    };
  }
}

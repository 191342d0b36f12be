import { BullModule } from '@nestjs/bull';
import { type DynamicModule, Module } from '@nestjs/common';
import type { Config } from '../../config/env.js';
import { OutboundModule } from '../../outbound/outbound.module.js';
import { WebhooksModule } from '../../webhooks/webhooks.module.js';
import { BulkRunner } from '../operations/bulk-runner.service.js';
import { BulkWork } from '../operations/bulk-work.service.js';
import { BulkWorkStore } from '../operations/bulk-work.store.js';
import { Attempts } from './attempts.service.js';
import { ChunkConsumer } from './chunk-consumer.service.js';
import { ClaimsService } from './claims.service.js';
import { DeadLetterSignals } from './dead-letter-signals.service.js';
import { DELIVERY_QUEUE_NAME } from '../delivery.queue.js';
import { DeliveryLifecycle } from './delivery-lifecycle.service.js';
import { DeliveryProcessor } from './delivery.processor.js';
import { DeliveryWorker } from './delivery-worker.service.js';
import { DueDeliveriesStore } from './due-deliveries.store.js';
import { ExpiredDeliveriesStore } from './expired-deliveries.store.js';
import { Expiry } from './expiry.service.js';
import { HeldDeliveriesStore } from '../lanes/held-deliveries.store.js';
import { HeldPuller } from '../lanes/held-puller.service.js';
import { Lanes } from '../lanes/lanes.service.js';
import { LanesStore } from '../lanes/lanes.store.js';
import { LinePull } from '../lanes/line-pull.service.js';
import { UnservedDeliveriesStore } from '../lanes/unserved-deliveries.store.js';
import { OutboxStore } from './outbox.store.js';
import { OutcomeStore } from './outcome.store.js';
import { consumerOptions } from '../redis-options.js';
import { Sweeper } from './sweeper.service.js';

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
        Attempts,
        BulkRunner,
        BulkWork,
        BulkWorkStore,
        ChunkConsumer,
        ClaimsService,
        DeadLetterSignals,
        DeliveryLifecycle,
        DeliveryWorker,
        DueDeliveriesStore,
        ExpiredDeliveriesStore,
        Expiry,
        HeldDeliveriesStore,
        HeldPuller,
        Lanes,
        LanesStore,
        LinePull,
        OutboxStore,
        OutcomeStore,
        Sweeper,
        UnservedDeliveriesStore,
        ...(redisUrl === undefined ? [] : [DeliveryProcessor]),
      ],
    };
  }
}

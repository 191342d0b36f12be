import { BullModule } from '@nestjs/bull';
import { type DynamicModule, Module, type OnApplicationShutdown } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import type { Config } from '../config/env.js';
import { TIMINGS } from '../config/timings.js';
import { AuthModule } from '../auth/auth.module.js';
import { DeliveryAttemptEntity } from '../database/entities/delivery-attempt.entity.js';
import { DeliveryEntity } from '../database/entities/delivery.entity.js';
import { EventEntity } from '../database/entities/event.entity.js';
import { WebhookEntity } from '../database/entities/webhook.entity.js';
import { OutboundModule } from '../outbound/outbound.module.js';
import { WebhooksModule } from '../webhooks/webhooks.module.js';
import { DeadLettersController } from './api/dead-letters.controller.js';
import { DeliveriesController } from './api/deliveries.controller.js';
import { DeliveriesService } from './api/deliveries.service.js';
import { DeliveriesStore } from './api/deliveries.store.js';
import { DeliveryAccess } from './api/delivery-access.service.js';
import { RedriveService } from './api/redrive.service.js';
import { BulkOperationsService } from './api/bulk-operations.service.js';
import { BulkOperationsStore } from './bulk/bulk-operations.store.js';
import { OperationsController } from './api/operations.controller.js';
import { BullConnections, type QueueTimings } from './handover/bull.connections.js';
import { BullDeliveryQueue, DELIVERY_QUEUE_NAME } from './handover/bull.queue.js';
import { DeliveryQueue, InProcessDeliveryQueue } from './handover/delivery.queue.js';
import { CircuitNotifier } from './circuit/circuit-notifier.service.js';
import { CircuitWriter } from './circuit/circuit-writer.service.js';
import { CircuitStore } from './circuit/circuit.store.js';
import { WebhookDisabler } from './circuit/webhook-disabler.service.js';
import { DeliveryDispatcher } from './handover/dispatcher.service.js';
import { Backlog, DeliverySignals } from './signals/delivery-signals.service.js';
import { DeferredNotifier } from './signals/deferred-notifier.service.js';
import { LeaseTokens } from './leases/lease-tokens.service.js';
import { PendingDeliveriesStore } from './api/pending-deliveries.store.js';
import { WebhookStatsService } from './api/stats.service.js';
import { WebhookTestService } from './api/webhook-test.service.js';
import { Circuits } from './circuit/circuits.service.js';
import { BulkRunner } from './bulk/bulk-runner.service.js';
import { BulkStep } from './bulk/bulk-step.service.js';
import { BulkStepStore } from './bulk/bulk-step.store.js';
import { AttemptMarksStore } from './sending/attempt-marks.store.js';
import { AttemptService } from './sending/attempt.service.js';
import { ChunkConsumer } from './handover/chunk-consumer.service.js';
import { ClaimsService } from './claims/claims.service.js';
import { DeadLetterNotifier } from './sending/dead-letter-notifier.service.js';
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
import { DeferredClaims } from './deferred/deferred-claims.service.js';
import { DeferredPull } from './deferred/deferred-pull.service.js';
import { ExclusivePull } from './deferred/exclusive-pull.service.js';
import { OrphanedDeliveriesStore } from './deferred/orphaned.store.js';
import { OutboxStore } from './claims/outbox.store.js';
import { OutcomeStore } from './sending/outcome.store.js';
import { SlowAttempts } from './sending/slow-attempts.service.js';
import { Sweeper } from './claims/sweeper.service.js';

/** What only a process with the role `worker` has: all that makes attempts. */
const WORKER = [
  AttemptMarksStore,
  AttemptService,
  BulkRunner,
  BulkStep,
  BulkStepStore,
  ChunkConsumer,
  ClaimsService,
  DeadLetterNotifier,
  DeferredDeliveriesStore,
  DeferredClaims,
  DeferredPull,
  ExclusivePull,
  DeferredScheduler,
  DeliveryLifecycle,
  DeliveryWorker,
  DueDeliveriesStore,
  ExclusiveWebhooks,
  ExclusiveWebhooksStore,
  ExpiredDeliveriesStore,
  Expiry,
  OrphanedDeliveriesStore,
  OutboxStore,
  OutcomeStore,
  SlowAttempts,
  Sweeper,
];

/**
 * From a committed event to its attempts. Each process hands over events, and reads and redrives
 * deliveries; one with the role `worker` also makes the attempts.
 */
@Module({})
export class DeliveryModule implements OnApplicationShutdown {
  constructor(private readonly queue: DeliveryQueue) {}

  static forRoot({ redisUrl, roles }: Pick<Config, 'redisUrl' | 'roles'>): DynamicModule {
    const isWorker = roles.has('worker');
    const consumed =
      isWorker && redisUrl !== undefined
        ? new BullConnections(redisUrl, 'take events from the queue')
        : undefined;
    return {
      module: DeliveryModule,
      global: true,
      imports: [
        TypeOrmModule.forFeature([
          DeliveryEntity,
          DeliveryAttemptEntity,
          EventEntity,
          WebhookEntity,
        ]),
        AuthModule,
        OutboundModule,
        WebhooksModule,
        ...(consumed ? [consumedQueue(consumed)] : []),
      ],
      controllers: [DeliveriesController, DeadLettersController, OperationsController],
      providers: [
        {
          provide: DeliveryQueue,
          useFactory: (timings: QueueTimings, consumer?: ChunkConsumer) =>
            redisUrl === undefined
              ? new InProcessDeliveryQueue(consumer)
              : new BullDeliveryQueue(redisUrl, timings, consumed),
          inject: [TIMINGS, { token: ChunkConsumer, optional: true }],
        },
        DeliveryDispatcher,
        DeliverySignals,
        DeferredNotifier,
        Backlog,
        LeaseTokens,
        Circuits,
        CircuitNotifier,
        CircuitStore,
        CircuitWriter,
        WebhookDisabler,
        DeliveryAccess,
        DeliveriesService,
        DeliveriesStore,
        RedriveService,
        PendingDeliveriesStore,
        WebhookStatsService,
        WebhookTestService,
        BulkOperationsService,
        BulkOperationsStore,
        ...(isWorker ? WORKER : []),
        ...(consumed ? [DeliveryProcessor, { provide: BullConnections, useValue: consumed }] : []),
      ],
      exports: [DeliveryQueue, DeliveryDispatcher, DeferredNotifier],
    };
  }

  async onApplicationShutdown(): Promise<void> {
    if (this.queue instanceof BullDeliveryQueue) await this.queue.close();
  }
}

const consumedQueue = (connections: BullConnections): DynamicModule =>
  BullModule.registerQueueAsync({
    name: DELIVERY_QUEUE_NAME,
    useFactory: (timings: QueueTimings) => connections.options(timings),
    inject: [TIMINGS],
  });

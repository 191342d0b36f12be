import { type DynamicModule, Module, type OnApplicationShutdown } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import Bull from 'bull';
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
import {
  BullDeliveryQueue,
  DELIVERY_QUEUE_NAME,
  DeliveryQueue,
  InProcessDeliveryQueue,
} from './handover/delivery.queue.js';
import { CircuitNotifier } from './circuit/circuit-notifier.service.js';
import { CircuitWriter } from './circuit/circuit-writer.service.js';
import { CircuitStore } from './circuit/circuit.store.js';
import { WebhookDisabler } from './circuit/webhook-disabler.service.js';
import { DeliveryDispatcher } from './handover/dispatcher.service.js';
import { DeferredSignal } from './deferred/deferred-signal.service.js';
import { LeaseTokens } from './claims/lease-tokens.service.js';
import { producerOptions } from './handover/redis-options.js';
import { PendingDeliveriesStore } from './api/pending-deliveries.store.js';
import { WebhookStatsService } from './api/stats.service.js';
import { WebhookTestService } from './api/webhook-test.service.js';
import { Circuits } from './circuit/circuits.service.js';

/**
 * What every process needs of delivery: to hand committed events over, and to read and redrive
 * deliveries. It makes no attempts: that is {@link DeliveryWorkerModule}.
 */
@Module({})
export class DeliveryModule implements OnApplicationShutdown {
  constructor(private readonly queue: DeliveryQueue) {}

  static forRoot({ redisUrl }: { redisUrl?: string }): DynamicModule {
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
      ],
      controllers: [DeliveriesController, DeadLettersController, OperationsController],
      providers: [
        { provide: DeliveryQueue, useFactory: () => deliveryQueue(redisUrl) },
        DeliveryDispatcher,
        DeferredSignal,
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
      ],
      exports: [
        DeliveryQueue,
        DeliveryDispatcher,
        DeferredSignal,
        LeaseTokens,
        Circuits,
        WebhookDisabler,
      ],
    };
  }

  async onApplicationShutdown(): Promise<void> {
    if (this.queue instanceof BullDeliveryQueue) await this.queue.close();
  }
}

const deliveryQueue = (redisUrl: string | undefined): DeliveryQueue =>
  redisUrl === undefined
    ? new InProcessDeliveryQueue()
    : new BullDeliveryQueue(new Bull(DELIVERY_QUEUE_NAME, producerOptions(redisUrl)));

import { type DynamicModule, Module, type OnApplicationShutdown } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import Bull from 'bull';
import { AuthModule } from '../auth/auth.module.js';
import { BulkOperationEntity } from '../database/entities/bulk-operation.entity.js';
import { DeliveryAttemptEntity } from '../database/entities/delivery-attempt.entity.js';
import { DeliveryEntity } from '../database/entities/delivery.entity.js';
import { EventEntity } from '../database/entities/event.entity.js';
import { WebhookEntity } from '../database/entities/webhook.entity.js';
import { OutboundModule } from '../outbound/outbound.module.js';
import { WebhooksModule } from '../webhooks/webhooks.module.js';
import { DeadLettersController } from './history/dead-letters.controller.js';
import { DeadLettersService } from './history/dead-letters.service.js';
import { DeliveriesController } from './history/deliveries.controller.js';
import { DeliveriesService } from './history/deliveries.service.js';
import { DeliveryAccess } from './history/delivery-access.service.js';
import { RedriveService } from './history/redrive.service.js';
import { BulkOperationsService } from './operations/bulk-operations.service.js';
import { BulkOperationsStore } from './operations/bulk-operations.store.js';
import { OperationsController } from './operations/operations.controller.js';
import { ReplaysController } from './operations/replays.controller.js';
import {
  BullDeliveryQueue,
  DELIVERY_QUEUE_NAME,
  DeliveryQueue,
  InProcessDeliveryQueue,
} from './delivery.queue.js';
import { CircuitSignals } from './circuit/circuit-signals.service.js';
import { CircuitWriter } from './circuit/circuit-writer.service.js';
import { CircuitStore } from './circuit/circuit.store.js';
import { WebhookSwitch } from './circuit/webhook-switch.service.js';
import { DeliveryDispatcher } from './dispatcher.service.js';
import { HeldSignal } from './held-signal.service.js';
import { LeaseTokens } from './lease-tokens.service.js';
import { producerOptions } from './redis-options.js';
import { OwedDeliveriesStore } from './history/owed-deliveries.store.js';
import { WebhookStatsController } from './history/webhook-stats.controller.js';
import { WebhookStatsService } from './history/webhook-stats.service.js';
import { WebhookStatsStore } from './history/webhook-stats.store.js';
import { WebhookTestService } from './history/webhook-test.service.js';
import { Circuits } from './worker/circuits.service.js';

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
          BulkOperationEntity,
          DeliveryEntity,
          DeliveryAttemptEntity,
          EventEntity,
          WebhookEntity,
        ]),
        AuthModule,
        OutboundModule,
        WebhooksModule,
      ],
      controllers: [
        DeliveriesController,
        DeadLettersController,
        WebhookStatsController,
        ReplaysController,
        OperationsController,
      ],
      providers: [
        { provide: DeliveryQueue, useFactory: () => deliveryQueue(redisUrl) },
        DeliveryDispatcher,
        HeldSignal,
        LeaseTokens,
        Circuits,
        CircuitSignals,
        CircuitStore,
        CircuitWriter,
        WebhookSwitch,
        DeliveryAccess,
        DeliveriesService,
        DeadLettersService,
        RedriveService,
        OwedDeliveriesStore,
        WebhookStatsService,
        WebhookStatsStore,
        WebhookTestService,
        BulkOperationsService,
        BulkOperationsStore,
      ],
      exports: [
        DeliveryQueue,
        DeliveryDispatcher,
        HeldSignal,
        LeaseTokens,
        Circuits,
        WebhookSwitch,
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

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
import { DeadLettersController } from './history/dead-letters.controller.js';
import { DeliveriesController } from './history/deliveries.controller.js';
import { DeliveriesService } from './history/deliveries.service.js';
import {
  BullDeliveryQueue,
  DELIVERY_QUEUE_NAME,
  DeliveryQueue,
  InProcessDeliveryQueue,
} from './delivery.queue.js';
import { DeliveryDispatcher } from './dispatcher.service.js';
import { LeaseTokens } from './lease-tokens.service.js';
import { producerOptions } from './redis-options.js';
import { OwedDeliveriesStore } from './history/owed-deliveries.store.js';
import { WebhookTestService } from './history/webhook-test.service.js';

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
      controllers: [DeliveriesController, DeadLettersController],
      providers: [
        { provide: DeliveryQueue, useFactory: () => deliveryQueue(redisUrl) },
        DeliveryDispatcher,
        LeaseTokens,
        DeliveriesService,
        OwedDeliveriesStore,
        WebhookTestService,
      ],
      exports: [DeliveryQueue, DeliveryDispatcher, LeaseTokens],
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

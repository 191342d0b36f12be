import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { AuthModule } from '../auth/auth.module.js';
import { WebhookEntity } from '../database/entities/webhook.entity.js';
import { EventTypesModule } from '../event-types/event-types.module.js';
import { OutboundModule } from '../outbound/outbound.module.js';
import { WebhookCache } from './webhook-cache.service.js';
import { WebhooksController } from './webhooks.controller.js';
import { WebhooksService } from './webhooks.service.js';
import { WebhooksStore } from './webhooks.store.js';

/**
 * Registration of webhooks over REST, and a cache in memory that says which of them an event goes to.
 * It sends nothing itself.
 */
@Module({
  imports: [
    TypeOrmModule.forFeature([WebhookEntity]),
    AuthModule,
    EventTypesModule,
    OutboundModule,
  ],
  controllers: [WebhooksController],
  providers: [WebhooksService, WebhookCache, WebhooksStore],
  exports: [WebhooksService, WebhookCache],
})
export class WebhooksModule {}

import { Module } from '@nestjs/common';
import { OutboundModule } from '../outbound/outbound.module.js';
import { WebhooksModule } from '../webhooks/webhooks.module.js';
import { DemoWebhook } from './demo-webhook.service.js';
import { RequestBinController } from './request-bin.controller.js';

/** Shows deliveries without a receiver of one's own. Development only. */
@Module({
  imports: [OutboundModule, WebhooksModule],
  controllers: [RequestBinController],
  providers: [DemoWebhook],
})
export class RequestBinModule {}

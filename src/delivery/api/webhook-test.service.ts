import { Injectable } from '@nestjs/common';
import type { Principal } from '../../auth/principal.js';
import { AppError } from '../../shared/app-error.js';
import { envelopeText } from '../../shared/envelope.js';
import { newId } from '../../shared/ids.js';
import { OutboundHttpClient } from '../../outbound/outbound-http.client.js';
import { WebhookCache } from '../../webhooks/webhook-cache.service.js';
import { WebhooksService } from '../../webhooks/webhooks.service.js';
import { errorOf } from '../../outbound/attempt-result.js';
import type { TestResult } from './deliveries.dto.js';
import { deliveryId } from '../delivery-id.js';
import { webhookRequest } from '../sending/webhook-request.js';

/** Type of the event that {@link WebhookTestService} sends. */
const TEST_TYPE = 'webhook.test';

/** Sends one request to a webhook now and returns its result. The event is not part of the log. */
@Injectable()
export class WebhookTestService {
  constructor(
    private readonly webhooks: WebhooksService,
    private readonly webhookCache: WebhookCache,
    private readonly outbound: OutboundHttpClient,
  ) {}

  async send(webhookId: string, principal: Principal): Promise<TestResult> {
    await this.webhooks.get(webhookId, principal);
    const webhook = this.webhookCache.get(webhookId);
    if (!webhook || webhook.signingKeys.length === 0) {
      throw new AppError('conflict', 'webhook_unusable', 'Its secret cannot be decrypted.');
    }
    const at = new Date();
    const id = newId('evt');
    const message = 'A test of this webhook. Verify the signature and answer with a 2xx status.';
    const envelope = { id, type: TEST_TYPE, timestamp: at.toISOString(), data: { message } };
    const toSend = {
      eventId: id,
      eventType: TEST_TYPE,
      body: Buffer.from(envelopeText(envelope)),
      deliveryId: deliveryId(id, webhookId),
      attempt: 1,
    };
    const result = await this.outbound.post(webhookRequest(toSend, webhook, at.getTime()));
    if (result.kind === 'unsent') {
      const problem = 'Too many names of your webhooks are being looked up. Try again in a moment.';
      throw new AppError('unavailable', 'dns_busy', problem);
    }
    const responded = result.kind === 'responded';
    return {
      eventId: id,
      delivered: errorOf(result) === null,
      attempt: {
        number: 1,
        statusCode: responded ? result.statusCode : null,
        durationMs: Math.round(result.durationMs),
        error: errorOf(result),
        responseBody: responded ? result.body : null,
        resent: result.isResent ?? false,
        at: at.toISOString(),
      },
    };
  }
}

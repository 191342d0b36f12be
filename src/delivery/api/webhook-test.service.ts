import { performance } from 'node:perf_hooks';
import { Injectable } from '@nestjs/common';
import { Clock } from '../../database/clock.service.js';
import type { Principal } from '../../auth/principal.js';
import { AppError } from '../../shared/app-error.js';
import { envelopeText } from '../../shared/envelope.js';
import { OPERATOR } from '../../shared/visibility.js';
import { newId } from '../../shared/ids.js';
import { OutboundHttpClient } from '../../outbound/outbound-http.client.js';
import { OwnerRateLimiter } from '../../realtime/connections/rate-limit.js';
import { WebhookCache } from '../../webhooks/webhook-cache.service.js';
import { WebhooksService } from '../../webhooks/webhooks.service.js';
import { errorOf, type UnsentReason } from '../../outbound/attempt-result.js';
import { errorMessageOf, type TestResult } from './deliveries.dto.js';
import { deliveryId } from '../delivery-id.js';
import { webhookRequest } from '../sending/webhook-request.js';

const TOO_MANY_TESTS =
  'Too many test calls to the webhooks of this owner: wait for those that run, and some seconds.';

/** Type of the event that {@link WebhookTestService} sends. */
const TEST_TYPE = 'webhook.test';

/** Why no request could be made. */
const UNSENT_WORDS: Record<UnsentReason, string> = {
  stopping: 'This process is about to stop.',
  dns_busy: 'Too many names of your webhooks are being looked up. Try again in a moment.',
  proxy_unavailable: 'The egress proxy of this installation does not answer. Try again later.',
};
/** Of one owner, on one node. They pass the limits of the webhook, so they have limits of their own. */
export const MAX_TESTS_AT_ONCE = 5;
export const TESTS_PER_MINUTE = 60;

/** Sends one request to a webhook now and returns its result. The event is not part of the log. */
@Injectable()
export class WebhookTestService {
  private readonly running = new Map<string | null, number>();
  private readonly budgets = new OwnerRateLimiter(TESTS_PER_MINUTE / 60, TESTS_PER_MINUTE);

  constructor(
    private readonly webhooks: WebhooksService,
    private readonly webhookCache: WebhookCache,
    private readonly outbound: OutboundHttpClient,
    private readonly clock: Clock,
  ) {}

  /** @throws AppError `too_many_tests` */
  async send(webhookId: string, principal: Principal): Promise<TestResult> {
    const { ownerId } = await this.webhooks.get(webhookId, principal);
    const running = this.running.get(ownerId) ?? 0;
    if (
      running >= MAX_TESTS_AT_ONCE ||
      !this.budgets.take(ownerId ?? OPERATOR, performance.now())
    ) {
      throw new AppError('too_many_requests', 'too_many_tests', TOO_MANY_TESTS);
    }
    this.running.set(ownerId, running + 1);
    try {
      return await this.post(webhookId);
    } finally {
      const left = this.running.get(ownerId)! - 1;
      if (left > 0) this.running.set(ownerId, left);
      else this.running.delete(ownerId);
    }
  }

  private async post(webhookId: string): Promise<TestResult> {
    const webhook = this.webhookCache.get(webhookId);
    if (!webhook || webhook.signingKeys.length === 0) {
      throw new AppError('conflict', 'webhook_unusable', 'Its secret cannot be decrypted.');
    }
    const at = this.clock.now();
    const id = newId('evt', at.getTime());
    const message = 'A test of this webhook. Verify the signature and answer with a 2xx status.';
    const envelope = { id, type: TEST_TYPE, timestamp: at.toISOString(), data: { message } };
    const toSend = {
      event: {
        id,
        ownerId: webhook.ownerId,
        type: TEST_TYPE,
        body: Buffer.from(envelopeText(envelope)),
      },
      deliveryId: deliveryId(id, webhookId),
      attempt: 1,
    };
    const result = await this.outbound.post(webhookRequest(toSend, webhook, at.getTime()));
    if (result.kind === 'unsent') {
      throw new AppError('unavailable', result.reason, UNSENT_WORDS[result.reason]);
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
        errorMessage: errorMessageOf(
          errorOf(result),
          result.kind === 'failed' ? result.message : null,
          responded ? result.statusCode : null,
        ),
        responseBody: responded ? result.body : null,
        resent: result.isResent ?? false,
        at: at.toISOString(),
      },
    };
  }
}

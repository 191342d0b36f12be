import { Injectable } from '@nestjs/common';
import type { Principal } from '../auth/principal.js';
import { OutboundHttpClient } from '../outbound/outbound-http.client.js';
import { WebhooksService } from '../webhooks/webhooks.service.js';
import { BIN_NAME } from './request-bins.js';

const NAME = 'Request bin (demo)';
/** Events that reach the bin without a registered webhook. */
const DEMO_PATTERN = 'demo.*';

const OPERATOR: Principal = {
  ownerId: 'operator',
  userId: 'operator',
  roles: new Set(['admin'] as const),
};

const BIN_PATH = new RegExp(`^/bin/${BIN_NAME}$`);

/** A webhook to the request bin of this process, so that a first event is delivered somewhere. */
@Injectable()
export class DemoWebhook {
  constructor(
    private readonly webhooks: WebhooksService,
    private readonly outbound: OutboundHttpClient,
  ) {}

  /** @param origin where this process listens */
  async ensure(origin: string): Promise<void> {
    // Other loopback addresses stay refused, and so does everything else that is served here.
    this.outbound.trustOrigin(origin, BIN_PATH);
    const url = `${origin}/bin/demo`;
    const { data } = await this.webhooks.list({ limit: 200 }, OPERATOR);
    const existing = data.find((webhook) => webhook.name === NAME && webhook.ownerId === null);
    if (!existing) {
      const webhook = { name: NAME, url, events: [DEMO_PATTERN], active: true };
      await this.webhooks.create({ ...webhook, allowDuplicateUrl: true }, OPERATOR);
    } else if (existing.url !== url) {
      await this.webhooks.update(existing.id, { url, allowDuplicateUrl: true }, OPERATOR);
    }
  }
}

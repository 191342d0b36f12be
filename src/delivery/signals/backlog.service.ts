import { Injectable } from '@nestjs/common';

/** Webhooks that may have deferred deliveries: newer deliveries leave a share of the webhook's queue to them. */
@Injectable()
export class Backlog {
  private readonly webhookIds = new Set<string>();

  has(webhookId: string): boolean {
    return this.webhookIds.has(webhookId);
  }

  add(webhookId: string): void {
    this.webhookIds.add(webhookId);
  }

  delete(webhookId: string): void {
    this.webhookIds.delete(webhookId);
  }
}

import { Injectable } from '@nestjs/common';
import type { RegisteredWebhook } from '../../webhooks/registered-webhook.js';
import { WebhookCache } from '../../webhooks/webhook-cache.service.js';
import { ExclusiveWebhooks } from '../exclusive/exclusive-webhooks.service.js';
import { DeliveryWorker } from '../sending/worker.service.js';
import { DeferredClaims, urgent } from './deferred-claims.service.js';
import { ExclusivePull } from './exclusive-pull.service.js';
import { OrphanedDeliveriesStore } from './orphaned.store.js';
import { BUSY, IDLE, MAX_PULL, MIN_WAIT_MS, MORE, type PullResult } from './pull-result.js';

/**
 * Claims what may be sent now of the backlog of one webhook, and submits it to the worker. The limit is
 * the capacity of the worker, the circuit, and for an exclusive webhook its dispatch policy.
 */
@Injectable()
export class DeferredPull {
  constructor(
    private readonly orphaned: OrphanedDeliveriesStore,
    private readonly claims: DeferredClaims,
    private readonly exclusive: ExclusiveWebhooks,
    private readonly exclusivePull: ExclusivePull,
    private readonly worker: DeliveryWorker,
    private readonly webhooks: WebhookCache,
  ) {}

  async pull(webhookId: string): Promise<PullResult> {
    try {
      return await this.pullAdmitted(webhookId);
    } finally {
      this.claims.returnUnused(webhookId);
    }
  }

  private async pullAdmitted(webhookId: string): Promise<PullResult> {
    if (!this.webhooks.get(webhookId)) await this.webhooks.refresh();
    const webhook = this.webhooks.get(webhookId);
    if (!webhook) return this.endOrphaned(webhookId, 0);
    if (!webhook.active) {
      return webhook.disabledReason === null
        ? IDLE
        : this.endOrphaned(webhookId, webhook.timeoutMs);
    }
    if (!webhook.needsExclusiveLease) return this.pullPlain(webhook);
    const lease = this.exclusive.get(webhookId);
    return lease && !lease.isReleasing ? this.exclusivePull.pull(webhook, lease) : IDLE;
  }

  /** The worker gives each its outcome without a request. Those that wait for a time come last. */
  private async endOrphaned(webhookId: string, timeoutMs: number): Promise<PullResult> {
    const limit = Math.min(this.worker.freeCapacity, MAX_PULL);
    if (limit === 0) return { kind: 'wait', ms: MIN_WAIT_MS };
    const claim = { webhookId, timeoutMs, limit, selection: urgent(limit) };
    const tasks = await this.claims.claim(claim);
    this.worker.submit(tasks);
    return tasks.length > 0 || (await this.orphaned.makeReady(webhookId)) > 0 ? MORE : IDLE;
  }

  private async pullPlain({ id, timeoutMs }: RegisteredWebhook): Promise<PullResult> {
    const capacity = Math.min(this.worker.freeCapacityOf(id), MAX_PULL);
    if (capacity <= 0) return BUSY;
    const limit = await this.claims.admit(id, capacity, 'byPriority');
    if (typeof limit !== 'number') return limit;
    const claim = { webhookId: id, timeoutMs, limit, selection: urgent(limit) };
    const probe = this.claims.requestedProbe(id);
    let tasks = probe ? await this.claims.claim({ ...claim, selection: probe }) : [];
    if (tasks.length === 0) tasks = await this.claims.claim(claim);
    this.worker.submit(tasks);
    return tasks.length > 0 ? MORE : IDLE;
  }
}

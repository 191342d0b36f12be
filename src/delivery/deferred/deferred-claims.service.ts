import { Injectable } from '@nestjs/common';
import { taskOf } from '../claims/claimed-delivery.js';
import { LeaseTokens } from '../leases/lease-tokens.service.js';
import { Circuits } from '../circuit/circuits.service.js';
import { ExclusiveWebhooks } from '../exclusive/exclusive-webhooks.service.js';
import type { PermitKind, SendPermit, WebhookLease } from '../exclusive/webhook-lease.js';
import type { DeliveryTask } from '../sending/task.js';
import { DeferredDeliveriesStore, type Pull, type PullLease } from './deferred.store.js';
import { IDLE, MIN_WAIT_MS, type PullResult } from './pull-result.js';
import { agedCount, type Selection } from './selection.js';

export type DeferredTask = DeliveryTask & { source: { kind: 'deferred' } };

/** What to claim, and the timeout of the attempts that the lease has to outlive. */
export type Claim = Omit<Pull, 'token' | 'leaseMs'> & { timeoutMs: number };

/** By priority, and some of the oldest. */
export const urgent = (limit: number): Selection => ({
  kind: 'urgent',
  aged: agedCount(limit, Math.random()),
});

/** Claims deferred deliveries, as many as the circuit of their webhook admits, and makes tasks of them. */
@Injectable()
export class DeferredClaims {
  /** Requests that are admitted and not claimed yet, by webhook: each is pulled by one caller at a time. */
  private readonly admitted = new Map<string, number>();

  constructor(
    private readonly store: DeferredDeliveriesStore,
    private readonly exclusive: ExclusiveWebhooks,
    private readonly circuits: Circuits,
    private readonly tokens: LeaseTokens,
  ) {}

  /** @returns how many may be claimed, at least 1, or what the pull has to wait for */
  async admit(
    webhookId: string,
    wanted: number,
    order: 'byPriority' | 'inOrder',
  ): Promise<number | PullResult> {
    if (this.circuits.needsProbe(webhookId)) {
      // A probe that is claimed without a delivery to send would keep other nodes from probing.
      const [first] =
        order === 'inOrder'
          ? (await this.store.headsInOrder(webhookId, 1)).heads
          : await this.store.headsByPriority(webhookId, 1, 0);
      if (!first) return IDLE;
      if (first.readyInMs > 0) return { kind: 'wait', ms: first.readyInMs };
    }
    const admitted = await this.circuits.admit(webhookId, wanted);
    if (admitted > 0) {
      this.admitted.set(webhookId, admitted);
      return admitted;
    }
    const ms = this.circuits.nextAdmissionMs(webhookId);
    return Number.isFinite(ms) ? { kind: 'wait', ms: Math.max(ms, MIN_WAIT_MS) } : IDLE;
  }

  /** The pull has ended: what it has not claimed is admitted for others. */
  returnUnused(webhookId: string): void {
    const unused = this.admitted.get(webhookId) ?? 0;
    this.admitted.delete(webhookId);
    if (unused > 0) this.circuits.returnUnused(webhookId, unused);
  }

  /** The delivery that an operator wants sent through an open circuit, if that is to be the probe. */
  requestedProbe(webhookId: string): Selection | undefined {
    const id = this.circuits.requestedProbe(webhookId);
    return id === undefined ? undefined : { kind: 'these', ids: [id] };
  }

  async claim(claim: Claim): Promise<DeferredTask[]> {
    const tasks = await this.tasksOf(claim, undefined, undefined);
    this.use(claim.webhookId, tasks.length);
    return tasks;
  }

  /** Claims nothing if the webhook lease is another node's meanwhile. */
  async claimUnderLease(
    claim: Claim,
    lease: WebhookLease,
    kind: PermitKind,
  ): Promise<DeferredTask[]> {
    const nowMs = performance.now();
    const permit = lease.permit(claim.limit, kind);
    try {
      const { holder } = this.exclusive;
      const tasks = await this.tasksOf(claim, permit, { holder, state: lease.window.state(nowMs) });
      permit.unused(claim.limit - tasks.length);
      this.use(claim.webhookId, kind === 'batch' ? Math.min(tasks.length, 1) : tasks.length);
      if (tasks.length > 0) lease.idleSinceMs = performance.now();
      return tasks;
    } catch (error) {
      // The claim may be committed although it failed here; then its leases have to end.
      permit.unused(claim.limit);
      lease.ownsAllInFlight = false;
      throw error;
    }
  }

  private use(webhookId: string, requests: number): void {
    const admitted = this.admitted.get(webhookId);
    if (admitted !== undefined) this.admitted.set(webhookId, admitted - requests);
  }

  private async tasksOf(
    claim: Claim,
    permit: SendPermit | undefined,
    webhookLease: PullLease | undefined,
  ): Promise<DeferredTask[]> {
    const lease = this.tokens.lease(claim.timeoutMs);
    const pull = { ...claim, token: lease.token, leaseMs: lease.ms };
    const claimed = await this.store.pull(pull, webhookLease);
    return claimed.map((delivery) => {
      const { batchStart } = delivery;
      return taskOf(delivery, lease, { kind: 'deferred', permit, batch: undefined, batchStart });
    });
  }
}

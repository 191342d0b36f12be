import { Inject, Injectable, Logger } from '@nestjs/common';
import { TIMINGS, type Timings } from '../../config/timings.js';
import { logFailure } from '../../shared/log-failure.js';
import { PollLoop } from '../../shared/poll-loop.timer.js';
import { NodeRegistry } from '../../cluster/node-registry.service.js';
import { WebhookCache } from '../../webhooks/webhook-cache.service.js';
import { LeaseTokens } from '../leases/lease-tokens.service.js';
import { WebhookLease } from './webhook-lease.js';
import { type LeaseCounts, leasesToRelease, leasesToTake } from './lease-balance.js';
import { ExclusiveWebhooksStore } from './exclusive-webhooks.store.js';
import { RateWindow } from './rate-window.js';

/**
 * The exclusive webhooks that this process serves. Each has a lease: its owner renews it, and is the
 * only process that sends to the webhook. A process that cannot renew stops before the lease ends, by
 * its own monotonic clock, which also runs while the process is suspended.
 */
@Injectable()
export class ExclusiveWebhooks {
  private readonly logger = new Logger(ExclusiveWebhooks.name);
  private readonly leases = new Map<string, WebhookLease>();
  /** Webhooks that another process serves, or that are beyond our share, and since when we want them. */
  private readonly wantedSinceMs = new Map<string, number>();
  private readonly triedAtMs = new Map<string, number>();
  private readonly renewals: PollLoop;
  private counts: LeaseCounts = { processes: 1, owned: 0, mine: 0 };
  private isStopped = false;

  constructor(
    private readonly store: ExclusiveWebhooksStore,
    private readonly webhooks: WebhookCache,
    private readonly tokens: LeaseTokens,
    private readonly nodes: NodeRegistry,
    @Inject(TIMINGS) private readonly timings: Timings,
  ) {
    const everyMs = timings.webhookLeaseRenewMs;
    this.renewals = new PollLoop({
      run: () => this.renew(),
      // What could not be renewed ends by itself.
      onError: (error) =>
        logFailure(this.logger, 'warn', 'webhook leases cannot be renewed', error),
      everyMs,
      maxErrorWaitMs: everyMs,
    });
  }

  start(): void {
    this.renewals.start();
  }

  /** Releases all leases. To be called when nothing is outstanding, or will never settle. */
  async stop(): Promise<void> {
    this.isStopped = true;
    await this.renewals.stop();
    try {
      for (const lease of this.leases.values()) await this.release(lease);
    } catch (error) {
      logFailure(this.logger, 'warn', 'webhook leases were not released, and expire', error);
    }
  }

  /** Names this process in its webhook leases, as in all rows that it leases. */
  get holder(): string {
    return this.tokens.process;
  }

  /** The lease, if this process owns it now. */
  get(webhookId: string): WebhookLease | undefined {
    const lease = this.leases.get(webhookId);
    return lease?.isOwned(performance.now()) ? lease : undefined;
  }

  /** Another process has released the webhook: it may be taken at once. */
  released(webhookId: string): void {
    this.triedAtMs.delete(webhookId);
  }

  /** The webhooks that this process serves. */
  get owned(): string[] {
    return [...this.leases.keys()];
  }

  /**
   * Tries to take the leases of webhooks with a backlog, within this process's share.
   * @returns the webhooks that it got
   */
  async acquire(webhookIds: readonly string[]): Promise<string[]> {
    const nowMs = performance.now();
    const { webhookLeaseRetryMs, webhookLeaseMs } = this.timings;
    const mayBeFree = (id: string) =>
      nowMs - (this.triedAtMs.get(id) ?? -Infinity) > webhookLeaseRetryMs;
    const missing = webhookIds.filter((id) => !this.get(id) && mayBeFree(id));
    if (this.isStopped || missing.length === 0) return [];
    const limit = this.mayTake(missing, nowMs);
    if (limit === 0) return [];
    for (const id of missing) this.triedAtMs.set(id, nowMs);
    const startedMs = performance.now();
    // Shuffled, so that several processes do not all try to take the same ones.
    const shuffled = missing.sort(() => Math.random() - 0.5);
    const taken = await this.store.take(this.holder, shuffled, webhookLeaseMs, limit);
    for (const { webhookId, state, elapsedMs } of taken) {
      this.leases.get(webhookId)?.lose();
      const takenMs = performance.now();
      const window = state ? RateWindow.restored(state, elapsedMs, takenMs) : new RateWindow();
      const endsMs = this.leaseEndsMs(startedMs);
      this.leases.set(webhookId, new WebhookLease(webhookId, endsMs, window, takenMs));
      this.wantedSinceMs.delete(webhookId);
      this.triedAtMs.delete(webhookId);
    }
    this.counts = {
      ...this.counts,
      mine: this.leases.size,
      owned: this.counts.owned + taken.length,
    };
    return taken.map(({ webhookId }) => webhookId);
  }

  private mayTake(missing: readonly string[], nowMs: number): number {
    let overdue = 0;
    for (const id of missing) {
      const sinceMs = this.wantedSinceMs.get(id);
      if (sinceMs === undefined) this.wantedSinceMs.set(id, nowMs);
      else if (nowMs - sinceMs > this.timings.webhookLeaseUnclaimedMs) overdue++;
    }
    const free = Math.max(missing.length - (this.counts.owned - this.counts.mine), 0);
    return Math.max(leasesToTake(this.counts, Math.max(free, 1)), overdue);
  }

  /** @param startedMs when the statement that took or renewed the lease was sent */
  private leaseEndsMs(startedMs: number): number {
    return startedMs + this.timings.webhookLeaseMs - this.timings.webhookLeaseMarginMs;
  }

  private async renew(): Promise<undefined> {
    // Leases that are taken during the statement are not in its result, and are not lost.
    const asked = [...this.leases.values()];
    const startedMs = performance.now();
    const renewal = await this.store.renew(this.holder, this.owned, this.timings.webhookLeaseMs);
    const kept = new Set(renewal.kept);
    for (const lease of asked) {
      if (kept.has(lease.webhookId)) lease.renewed(this.leaseEndsMs(startedMs));
      else this.drop(lease);
    }
    this.counts = {
      processes: this.nodes.aliveCount('worker'),
      owned: renewal.owned,
      mine: this.leases.size,
    };
    await this.rebalance();
  }

  /** Releases what is not needed, and what exceeds this process's share. */
  private async rebalance(): Promise<void> {
    const nowMs = performance.now();
    const leases = [...this.leases.values()].sort((a, b) => a.outstanding - b.outstanding);
    for (const lease of leases) {
      const isIdle =
        lease.outstanding === 0 && nowMs - lease.idleSinceMs > this.timings.webhookLeaseIdleMs;
      if (isIdle || !this.webhooks.get(lease.webhookId)?.needsExclusiveLease)
        lease.isReleasing = true;
    }
    let surplus = leasesToRelease(this.counts) - leases.filter((one) => one.isReleasing).length;
    for (const lease of leases) {
      if (!lease.isReleasing && surplus-- > 0) lease.isReleasing = true;
      if (lease.isReleasing && lease.outstanding === 0) await this.release(lease);
    }
  }

  private async release(lease: WebhookLease): Promise<void> {
    const state = lease.window.state(performance.now());
    this.drop(lease);
    await this.store.release(this.holder, lease.webhookId, state);
  }

  private drop(lease: WebhookLease): void {
    lease.lose();
    if (this.leases.get(lease.webhookId) === lease) this.leases.delete(lease.webhookId);
  }
}

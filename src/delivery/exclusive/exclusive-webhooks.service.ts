import { Injectable, Logger } from '@nestjs/common';
import { WebhookCache } from '../../webhooks/webhook-cache.service.js';
import { NodeRegistry } from '../../cluster/node-registry.service.js';
import { LeaseTokens } from '../claims/lease-tokens.service.js';
import { WebhookLease } from './webhook-lease.js';
import { type LeaseCounts, leasesToRelease, leasesToTake } from './lease-balance.js';
import { ExclusiveWebhooksStore } from './exclusive-webhooks.store.js';
import { RateWindow } from './rate-window.js';

/** How long the lanes of a process that died are nobody's. */
const LEASE_MS = 10_000;
const RENEW_MS = 2_500;
/** Taken off our side of the lease: our clock may run a little slower than the database's. */
const MARGIN_MS = 250;
/** A lane that nothing has come through for so long is free for whoever needs it first. */
const IDLE_MS = 30_000;
/** Nobody has taken it for so long, although somebody's share has room: whoever wants it may. */
const UNCLAIMED_MS = 2_000;
/** How often one process asks for a lane that another has; it is told when that one gives it back. */
const RETRY_MS = 400;

/**
 * The lanes of this worker process. A lane is a lease: one process holds it, renews it, and is the
 * only one that sends to its webhook. Whoever cannot renew stops before the lease ends, by its own
 * monotonic clock, which also runs while the process is stopped.
 */
@Injectable()
export class ExclusiveWebhooks {
  private readonly logger = new Logger(ExclusiveWebhooks.name);
  private readonly lanes = new Map<string, WebhookLease>();
  /** Lanes that were wanted and are somebody else's, or beyond our share, and since when. */
  private readonly wantedSinceMs = new Map<string, number>();
  private readonly triedAtMs = new Map<string, number>();
  private census: LeaseCounts = { processes: 1, owned: 0, mine: 0 };
  private timer: NodeJS.Timeout | undefined;
  private beating: Promise<void> = Promise.resolve();
  private isStopped = false;

  constructor(
    private readonly store: ExclusiveWebhooksStore,
    private readonly registry: WebhookCache,
    private readonly tokens: LeaseTokens,
    private readonly nodes: NodeRegistry,
  ) {}

  /** Says that it is alive, and goes on saying so. */
  start(): void {
    this.beating = this.beat();
    this.timer = setInterval(() => {
      this.beating = this.beating.then(() => this.beat());
    }, RENEW_MS).unref();
  }

  /** Gives everything back. To be called when nothing is out any more, or never will be settled. */
  async stop(): Promise<void> {
    this.isStopped = true;
    clearInterval(this.timer);
    await this.beating;
    try {
      for (const lane of this.lanes.values()) await this.giveBack(lane);
    } catch (error) {
      this.logger.warn(`lanes are left to end by themselves: ${String(error)}`);
    }
  }

  get nodeId(): string {
    return this.tokens.process;
  }

  /** The lane, if it is this process's own now. */
  get(webhookId: string): WebhookLease | undefined {
    const lane = this.lanes.get(webhookId);
    return lane?.isOwned(performance.now()) ? lane : undefined;
  }

  /** It was given back, and is there for the asking. */
  released(webhookId: string): void {
    this.triedAtMs.delete(webhookId);
  }

  /** Those that this process holds. */
  get owned(): string[] {
    return [...this.lanes.keys()];
  }

  /**
   * Tries to get the lanes of webhooks that something is held for, as far as this process's share goes.
   * @returns those that it got
   */
  async want(webhookIds: readonly string[]): Promise<string[]> {
    const nowMs = performance.now();
    const mayBeFree = (id: string) => nowMs - (this.triedAtMs.get(id) ?? -Infinity) > RETRY_MS;
    const missing = webhookIds.filter((id) => !this.get(id) && mayBeFree(id));
    if (this.isStopped || missing.length === 0) return [];
    const limit = this.mayTake(missing, nowMs);
    if (limit === 0) return [];
    for (const id of missing) this.triedAtMs.set(id, nowMs);
    const startedMs = performance.now();
    // In no order, so that several processes do not all reach for the same ones.
    const shuffled = missing.sort(() => Math.random() - 0.5);
    const taken = await this.store.take(this.nodeId, shuffled, LEASE_MS, limit);
    for (const { webhookId, state, elapsedMs } of taken) {
      this.lanes.get(webhookId)?.lose();
      const takenMs = performance.now();
      const window = state ? RateWindow.restored(state, elapsedMs, takenMs) : new RateWindow();
      const endsMs = startedMs + LEASE_MS - MARGIN_MS;
      this.lanes.set(webhookId, new WebhookLease(webhookId, endsMs, window, takenMs));
      this.wantedSinceMs.delete(webhookId);
      this.triedAtMs.delete(webhookId);
    }
    this.census = {
      ...this.census,
      mine: this.lanes.size,
      owned: this.census.owned + taken.length,
    };
    return taken.map(({ webhookId }) => webhookId);
  }

  private mayTake(missing: readonly string[], nowMs: number): number {
    let overdue = 0;
    for (const id of missing) {
      const sinceMs = this.wantedSinceMs.get(id);
      if (sinceMs === undefined) this.wantedSinceMs.set(id, nowMs);
      else if (nowMs - sinceMs > UNCLAIMED_MS) overdue++;
    }
    const free = Math.max(missing.length - (this.census.owned - this.census.mine), 0);
    return Math.max(leasesToTake(this.census, Math.max(free, 1)), overdue);
  }

  /** Never rejects: what could not be renewed ends by itself. */
  private async beat(): Promise<void> {
    if (this.isStopped) return;
    try {
      // Those that are taken meanwhile are not asked for, and not missed in the answer.
      const asked = [...this.lanes.values()];
      const startedMs = performance.now();
      const roll = await this.store.renew(this.nodeId, this.owned, LEASE_MS);
      const kept = new Set(roll.kept);
      for (const lane of asked) {
        if (kept.has(lane.webhookId)) lane.renewed(startedMs + LEASE_MS - MARGIN_MS);
        else this.drop(lane);
      }
      this.census = {
        processes: this.nodes.aliveCount('worker'),
        owned: roll.owned,
        mine: this.lanes.size,
      };
      await this.spread();
    } catch (error) {
      this.logger.warn(`lanes cannot be renewed: ${String(error)}`);
    }
  }

  /** Gives back what is not needed, and what is more than this process's share. */
  private async spread(): Promise<void> {
    const nowMs = performance.now();
    const lanes = [...this.lanes.values()].sort((a, b) => a.outstanding - b.outstanding);
    for (const lane of lanes) {
      const isIdle = lane.outstanding === 0 && nowMs - lane.idleSinceMs > IDLE_MS;
      if (isIdle || !this.registry.get(lane.webhookId)?.needsExclusiveLease) lane.isLeaving = true;
    }
    let surplus = leasesToRelease(this.census) - lanes.filter((lane) => lane.isLeaving).length;
    for (const lane of lanes) {
      if (!lane.isLeaving && surplus-- > 0) lane.isLeaving = true;
      if (lane.isLeaving && lane.outstanding === 0) await this.giveBack(lane);
    }
  }

  private async giveBack(lane: WebhookLease): Promise<void> {
    const state = lane.window.state(performance.now());
    this.drop(lane);
    await this.store.release(this.nodeId, lane.webhookId, state);
  }

  private drop(lane: WebhookLease): void {
    lane.lose();
    if (this.lanes.get(lane.webhookId) === lane) this.lanes.delete(lane.webhookId);
  }
}

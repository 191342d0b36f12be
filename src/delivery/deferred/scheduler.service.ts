import { Inject, Injectable, Logger } from '@nestjs/common';
import { TIMINGS, type Timings } from '../../config/timings.js';
import { NotificationListener } from '../../database/notification.listener.js';
import { isStoreOutage } from '../../database/sql-errors.js';
import { logFailure } from '../../shared/log-failure.js';
import { PollLoop } from '../../shared/poll-loop.timer.js';
import { WebhookCache } from '../../webhooks/webhook-cache.service.js';
import { ExclusiveWebhooks } from '../exclusive/exclusive-webhooks.service.js';
import { DeliveryWorker } from '../sending/worker.service.js';
import { Backlog, DeliverySignals } from '../signals/delivery-signals.service.js';
import { DeferredDeliveriesStore } from './deferred.store.js';
import { DeferredPull } from './deferred-pull.service.js';
import { OrphanedDeliveriesStore } from './orphaned.store.js';

/** Between two scans of all backlogs: several notifications cause one scan. */
const MIN_SCAN_GAP_MS = 50;
const MAX_ERROR_WAIT_MS = 5_000;
/** Webhooks that are pulled at the same time. */
const PARALLEL = 4;

/**
 * Brings deferred deliveries to the worker, one loop per process: those of exclusive webhooks, those
 * that found an open circuit or a full queue, those whose webhook was disabled. It plans a pull per
 * webhook when a signal says so, and scans all backlogs in case a signal was lost.
 */
@Injectable()
export class DeferredScheduler {
  private readonly logger = new Logger(DeferredScheduler.name);
  private readonly loop: PollLoop;
  /** When to pull the backlog of a webhook. */
  private readonly plannedAtMs = new Map<string, number>();
  private scanAtMs = 0;
  private scannedAtMs = Number.NEGATIVE_INFINITY;
  private convertAtMs = 0;
  private orphanedAtMs = 0;
  private isStopped = false;

  constructor(
    private readonly store: DeferredDeliveriesStore,
    private readonly orphaned: OrphanedDeliveriesStore,
    private readonly exclusive: ExclusiveWebhooks,
    private readonly pulls: DeferredPull,
    private readonly worker: DeliveryWorker,
    private readonly webhooks: WebhookCache,
    private readonly notifications: NotificationListener,
    private readonly signals: DeliverySignals,
    private readonly backlog: Backlog,
    @Inject(TIMINGS) private readonly timings: Timings,
  ) {
    this.loop = new PollLoop({
      run: () => this.round(),
      onError: (error) =>
        logFailure(this.logger, 'error', 'deferred deliveries cannot be pulled now', error),
      everyMs: timings.deferredPollMs,
      maxErrorWaitMs: MAX_ERROR_WAIT_MS,
    });
  }

  start(): void {
    this.signals.on('deferred', (webhookId, inMs) => this.plan(webhookId, inMs));
    this.signals.on('settled', ({ webhookId }) => this.continue(webhookId));
    this.signals.on('circuitChanged', (webhookId) => this.plan(webhookId, 0));
    this.notifications.on('deferred', () => this.scanSoon());
    this.notifications.on('webhookLeases', (webhookId) => {
      this.exclusive.released(webhookId);
      this.scanSoon();
    });
    this.webhooks.on('changed', () => {
      this.convertAtMs = 0;
      this.orphanedAtMs = 0;
      this.scanSoon();
    });
    this.exclusive.start();
    this.loop.start();
  }

  /** Pulls nothing more. What is outstanding may still settle. */
  async stop(): Promise<void> {
    this.isStopped = true;
    await this.loop.stop();
  }

  /** So that other processes need not wait for the webhook leases to end. */
  async releaseLeases(): Promise<void> {
    await this.exclusive.stop();
  }

  private plan(webhookId: string, inMs: number): void {
    const atMs = performance.now() + inMs;
    if ((this.plannedAtMs.get(webhookId) ?? Infinity) <= atMs) return;
    this.plannedAtMs.set(webhookId, atMs);
    this.loop.wakeIn(inMs);
  }

  /** A slot of a webhook has become free, which may have more in its backlog. */
  private continue(webhookId: string): void {
    if (this.backlog.has(webhookId) && this.worker.isRunningLow(webhookId)) this.plan(webhookId, 0);
  }

  private scanSoon(): void {
    this.scanAtMs = Math.min(this.scanAtMs, this.scannedAtMs + MIN_SCAN_GAP_MS);
    this.loop.wakeIn(Math.max(this.scanAtMs - performance.now(), 0));
  }

  private async round(): Promise<number> {
    await this.scan();
    await this.pullPlanned();
    const nextAtMs = Math.min(this.scanAtMs, ...this.plannedAtMs.values());
    return Math.max(nextAtMs - performance.now(), 0);
  }

  /** Plans a pull of every webhook with a backlog. */
  private async scan(): Promise<void> {
    const nowMs = performance.now();
    if (nowMs < this.scanAtMs) return;
    this.scannedAtMs = nowMs;
    this.scanAtMs = nowMs + this.timings.deferredPollMs;
    await this.convertScheduled(nowMs);
    await this.findOrphaned(nowMs);
    for (const webhookId of await this.store.webhooksWithBacklog()) this.plan(webhookId, 0);
  }

  /** Retries that were scheduled before their webhook became exclusive. */
  private async convertScheduled(nowMs: number): Promise<void> {
    if (nowMs < this.convertAtMs) return;
    this.convertAtMs = nowMs + this.timings.convertScheduledMs;
    await this.store.convertScheduled(this.exclusive.owned);
  }

  /** Scheduled deliveries of deleted or disabled webhooks end now, not when they are due. */
  private async findOrphaned(nowMs: number): Promise<void> {
    if (nowMs < this.orphanedAtMs) return;
    this.orphanedAtMs = nowMs + this.timings.orphanedPollMs;
    const webhookIds = await this.orphaned.webhooksWithOrphaned();
    if (webhookIds.some((id) => this.webhooks.get(id)?.active)) await this.webhooks.refresh();
    for (const webhookId of webhookIds) this.plan(webhookId, 0);
  }

  private async pullPlanned(): Promise<void> {
    const nowMs = performance.now();
    const due = [...this.plannedAtMs].filter(([, atMs]) => atMs <= nowMs).map(([id]) => id);
    const exclusive = due.filter((id) => this.webhooks.get(id)?.needsExclusiveLease);
    if (exclusive.length > 0) {
      await this.store.convertScheduled(await this.exclusive.acquire(exclusive));
    }
    for (let start = 0; start < due.length && !this.isStopped; start += PARALLEL) {
      const slice = due.slice(start, start + PARALLEL);
      // All of them have to end before the next round: two pulls of one webhook could break its order.
      const results = await Promise.allSettled(slice.map((id) => this.pull(id)));
      for (const [index, result] of results.entries()) {
        if (result.status === 'rejected') this.onFailure(slice[index]!, result.reason);
      }
    }
  }

  /** A webhook that cannot be pulled for a reason of its own delays no other one. */
  private onFailure(webhookId: string, error: unknown): void {
    if (isStoreOutage(error)) throw error;
    const fields = { webhook: webhookId };
    logFailure(this.logger, 'error', 'the backlog of a webhook cannot be pulled', error, fields);
    this.plan(webhookId, MAX_ERROR_WAIT_MS);
  }

  private async pull(webhookId: string): Promise<void> {
    this.plannedAtMs.delete(webhookId);
    // Before the pull: what settles during the pull finds that there may be more.
    this.backlog.add(webhookId);
    const result = await this.pulls.pull(webhookId);
    if (result.kind === 'idle') this.backlog.delete(webhookId);
    if (result.kind === 'more' && this.worker.isRunningLow(webhookId)) this.plan(webhookId, 0);
    if (result.kind === 'wait') this.plan(webhookId, result.ms);
  }
}

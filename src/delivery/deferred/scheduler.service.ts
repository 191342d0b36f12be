import { Injectable, Logger } from '@nestjs/common';
import { NotificationListener } from '../../database/notification.listener.js';
import { WebhookCache } from '../../webhooks/webhook-cache.service.js';
import { DeferredSignal } from './deferred-signal.service.js';
import { Circuits } from '../circuit/circuits.service.js';
import { DeliveryWorker } from '../sending/worker.service.js';
import { DeferredDeliveriesStore } from './deferred.store.js';
import { ExclusiveWebhooks } from '../exclusive/exclusive-webhooks.service.js';
import { DeferredPull } from './deferred-pull.service.js';
import { OrphanedDeliveriesStore } from './orphaned.store.js';

/** How often it looks for held deliveries although nothing told it to. */
const POLL_MS = 1_000;
/** Between two looks at everything: notifications that come together are answered by one. */
const MIN_SCAN_GAP_MS = 50;
const MAX_ERROR_WAIT_MS = 5_000;
/** How often what is due at a time is put in the line of a webhook that has a lane. */
const ADOPT_EVERY_MS = 15_000;
/** How often it looks for what waits for a time, and whose webhook is gone meanwhile. */
const UNSERVED_EVERY_MS = 2_000;
/** Lines that are looked at side by side. */
const PARALLEL = 4;

/**
 * One loop per worker process that brings held deliveries to the worker: those of webhooks with a
 * lane, those that a circuit has kept back, those that had no room in memory, those whose webhook was
 * switched off for a while or for good. Survives a store outage of any length.
 */
@Injectable()
export class DeferredScheduler {
  private readonly logger = new Logger(DeferredScheduler.name);
  /** When to look at the line of a webhook. */
  private readonly looks = new Map<string, number>();
  /** Lines that may hold more than there was room for. */
  private readonly backlogged = new Set<string>();
  private scanAtMs = 0;
  private scannedAtMs = Number.NEGATIVE_INFINITY;
  private adoptAtMs = 0;
  private unservedAtMs = 0;
  private loop: Promise<void> | undefined;
  private isStopped = false;
  private wake: () => void = () => undefined;

  constructor(
    private readonly store: DeferredDeliveriesStore,
    private readonly unserved: OrphanedDeliveriesStore,
    private readonly lanes: ExclusiveWebhooks,
    private readonly lines: DeferredPull,
    private readonly worker: DeliveryWorker,
    private readonly registry: WebhookCache,
    private readonly circuits: Circuits,
    private readonly notifications: NotificationListener,
    private readonly signal: DeferredSignal,
  ) {}

  start(): void {
    this.worker.onDeferred((webhookId, inMs) => this.look(webhookId, inMs));
    this.worker.askBacklog((webhookId) => this.backlogged.has(webhookId));
    this.worker.onSettled((webhookId) => this.goOn(webhookId));
    this.circuits.onChange((webhookId) => this.look(webhookId, 0));
    this.signal.onDeferred((webhookIds) => {
      for (const webhookId of webhookIds) this.look(webhookId, 0);
    });
    this.notifications.on('deferred', () => this.scanSoon());
    this.notifications.on('webhookLeases', (webhookId) => {
      this.lanes.released(webhookId);
      this.scanSoon();
    });
    this.registry.onChange(() => {
      this.adoptAtMs = 0;
      this.unservedAtMs = 0;
      this.scanSoon();
    });
    this.lanes.start();
    this.loop = this.run();
  }

  /** Pulls nothing more. What is out may still settle. */
  async stop(): Promise<void> {
    this.isStopped = true;
    this.wake();
    await this.loop;
  }

  /** So that others need not wait for their leases to end. */
  async releaseLeases(): Promise<void> {
    await this.lanes.stop();
  }

  private look(webhookId: string, inMs: number): void {
    const atMs = performance.now() + inMs;
    if ((this.looks.get(webhookId) ?? Infinity) <= atMs) return;
    this.looks.set(webhookId, atMs);
    this.wake();
  }

  /** A place has become free for a webhook, of which there may be more. */
  private goOn(webhookId: string): void {
    if (this.backlogged.has(webhookId) && this.worker.isRunningLow(webhookId))
      this.look(webhookId, 0);
  }

  private scanSoon(): void {
    this.scanAtMs = Math.min(this.scanAtMs, this.scannedAtMs + MIN_SCAN_GAP_MS);
    this.wake();
  }

  private async run(): Promise<void> {
    let errors = 0;
    while (!this.isStopped) {
      try {
        await this.scan();
        await this.pullDue();
        errors = 0;
      } catch (error) {
        errors++;
        this.logger.error(`cannot pull held deliveries: ${String(error)}`);
        await this.pause(performance.now() + Math.min(POLL_MS * errors, MAX_ERROR_WAIT_MS), true);
      }
      await this.pause(Math.min(this.scanAtMs, ...this.looks.values()));
    }
  }

  /** Looks at the line of every webhook that has one, and reaches for lanes that nobody holds. */
  private async scan(): Promise<void> {
    const nowMs = performance.now();
    if (nowMs < this.scanAtMs) return;
    this.scannedAtMs = nowMs;
    this.scanAtMs = nowMs + POLL_MS;
    await this.adopt(nowMs);
    await this.lookAtUnserved(nowMs);
    const webhookIds = await this.store.webhooks();
    for (const webhookId of webhookIds) this.look(webhookId, 0);
  }

  /** What fell due at a time, of webhooks that have had a lane since. */
  private async adopt(nowMs: number): Promise<void> {
    if (nowMs < this.adoptAtMs) return;
    this.adoptAtMs = nowMs + ADOPT_EVERY_MS;
    await this.store.adopt(this.lanes.owned);
  }

  /** What is owed to webhooks that are gone ends, whenever it would fall due. */
  private async lookAtUnserved(nowMs: number): Promise<void> {
    if (nowMs < this.unservedAtMs) return;
    this.unservedAtMs = nowMs + UNSERVED_EVERY_MS;
    const webhookIds = await this.unserved.webhooks();
    if (webhookIds.some((id) => this.registry.get(id)?.active)) await this.registry.refresh();
    for (const webhookId of webhookIds) this.look(webhookId, 0);
  }

  private async pullDue(): Promise<void> {
    const nowMs = performance.now();
    const due = [...this.looks].filter(([, atMs]) => atMs <= nowMs).map(([id]) => id);
    const laned = due.filter((id) => this.registry.get(id)?.needsExclusiveLease);
    if (laned.length > 0) await this.store.adopt(await this.lanes.want(laned));
    for (let start = 0; start < due.length && !this.isStopped; start += PARALLEL) {
      await Promise.all(due.slice(start, start + PARALLEL).map((id) => this.pull(id)));
    }
  }

  private async pull(webhookId: string): Promise<void> {
    this.looks.delete(webhookId);
    // Before the pull: what settles during it finds that there may be more.
    this.backlogged.add(webhookId);
    const result = await this.lines.pull(webhookId);
    if (result.kind === 'rest') this.backlogged.delete(webhookId);
    if (result.kind === 'more' && this.worker.isRunningLow(webhookId)) this.look(webhookId, 0);
    if (result.kind === 'wait') this.look(webhookId, result.ms);
  }

  /** Until the next time, which may come nearer meanwhile. @param isBlind whatever happens meanwhile */
  private async pause(untilMs: number, isBlind = false): Promise<void> {
    const ms = untilMs - performance.now();
    if (this.isStopped || ms <= 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.wake = () => {
        if (isBlind && !this.isStopped) return;
        clearTimeout(timer);
        resolve();
      };
    });
    this.wake = () => undefined;
  }
}

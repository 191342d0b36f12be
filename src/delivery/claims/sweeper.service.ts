import { Injectable, Logger } from '@nestjs/common';
import { NotificationListener } from '../../database/notification.listener.js';
import type { DeliveryTask } from '../sending/task.js';
import { DeliverySignals } from '../signals/delivery-signals.service.js';
import { ClaimsService } from './claims.service.js';
import { DeliveryWorker } from '../sending/worker.service.js';
import { Expiry } from './expiry.service.js';

/** Rows per claim. */
const BATCH = 200;
/** How often it looks although nothing told it to: this bounds what a lost hint can cost. */
const POLL_MS = 1_000;
/** Between sweeps: rows that fall due together are claimed together. */
const MIN_GAP_MS = 10;
const MAX_ERROR_WAIT_MS = 5_000;

/**
 * Finds in PostgreSQL whatever is due and hands it to the worker of this process: retries whose time
 * has come, events that the queue lost, deliveries that a crash left leased. What waits longer than its
 * event is to live it ends. Several processes sweep
 * side by side; a row goes to one of them. Survives a store outage of any length.
 */
@Injectable()
export class Sweeper {
  private readonly logger = new Logger(Sweeper.name);
  private loop: Promise<void> | undefined;
  private isStopped = false;
  private lastAtMs = Number.NEGATIVE_INFINITY;
  private nextAtMs = 0;
  private quarantined: DeliveryTask | undefined;
  private suspectAtMs = 0;
  private expiryAtMs = 0;
  private wake: () => void = () => undefined;

  constructor(
    private readonly claims: ClaimsService,
    private readonly expiry: Expiry,
    private readonly worker: DeliveryWorker,
    private readonly notifications: NotificationListener,
    private readonly signals: DeliverySignals,
  ) {}

  start(): void {
    this.signals.on('due', (inMs) => this.sweepIn(inMs));
    this.signals.on('settled', (task) => this.onSettled(task));
    this.notifications.on('due', () => this.sweepIn(0));
    this.loop = this.run();
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    this.wake();
    await this.loop;
  }

  /** Something falls due in so many milliseconds. */
  private sweepIn(ms: number): void {
    const atMs = Math.max(performance.now() + ms, this.lastAtMs + MIN_GAP_MS);
    if (atMs >= this.nextAtMs) return;
    this.nextAtMs = atMs;
    this.wake();
  }

  private async run(): Promise<void> {
    let errors = 0;
    while (!this.isStopped) {
      this.lastAtMs = performance.now();
      this.nextAtMs = this.lastAtMs + POLL_MS;
      try {
        const mayBeMore = await this.sweep();
        errors = 0;
        if (mayBeMore) continue;
      } catch (error) {
        errors++;
        this.logger.error(`cannot look for due deliveries: ${String(error)}`);
        this.nextAtMs = performance.now() + Math.min(POLL_MS * errors, MAX_ERROR_WAIT_MS);
      }
      await this.pause();
    }
  }

  /** @returns whether a claim was as large as it could be */
  private async sweep(): Promise<boolean> {
    const expired = await this.endExpired();
    await this.worker.waitForCapacity(BATCH);
    await this.trySuspect();
    const deliveries = await this.claim((limit) => this.claims.dueDeliveries(limit));
    const events = await this.claim((limit) => this.claims.dueEvents(limit));
    return expired || deliveries || events;
  }

  /** Not at every sweep: nobody waits for it. @returns whether there may be more */
  private async endExpired(): Promise<boolean> {
    const nowMs = performance.now();
    if (nowMs < this.expiryAtMs) return false;
    const ended = await this.expiry.end(BATCH);
    if (ended === BATCH) return true;
    this.expiryAtMs = nowMs + POLL_MS;
    return false;
  }

  /** One at a time: a worker that dies of it must take no other suspect with it. */
  private async trySuspect(): Promise<void> {
    const nowMs = performance.now();
    if (this.quarantined || nowMs < this.suspectAtMs || this.worker.freeCapacity === 0) return;
    this.suspectAtMs = nowMs + POLL_MS;
    const task = await this.claims.quarantined();
    if (!task) return;
    this.quarantined = task;
    this.worker.submit([task]);
  }

  private onSettled(task: DeliveryTask): void {
    if (task !== this.quarantined) return;
    this.quarantined = undefined;
    this.suspectAtMs = 0;
    this.sweepIn(0);
  }

  private async claim(
    take: (limit: number) => ReturnType<ClaimsService['dueEvents']>,
  ): Promise<boolean> {
    const limit = Math.min(this.worker.freeCapacity, BATCH);
    if (limit === 0) return false;
    const { tasks, rows } = await take(limit);
    this.worker.submit(tasks);
    return rows === limit;
  }

  /** Until the next time, which may come nearer meanwhile. */
  private async pause(): Promise<void> {
    while (!this.isStopped) {
      const ms = this.nextAtMs - performance.now();
      if (ms <= 0) return;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms);
        this.wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }
}

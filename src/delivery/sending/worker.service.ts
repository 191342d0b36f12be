import { Inject, Injectable, Logger } from '@nestjs/common';
import { Clock } from '../../database/clock.service.js';
import { CONFIG } from '../../config/config.module.js';
import type { Config } from '../../config/env.js';
import { TIMINGS, type Timings } from '../../config/timings.js';
import { errorOf } from '../../outbound/attempt-result.js';
import { logFailure } from '../../shared/log-failure.js';
import type { RegisteredWebhook } from '../../webhooks/registered-webhook.js';
import { WebhookCache } from '../../webhooks/webhook-cache.service.js';
import { Circuits } from '../circuit/circuits.service.js';
import { fitsLease } from '../leases/lease.js';
import { Backlog, DeliverySignals } from '../signals/delivery-signals.service.js';
import { type Attempt, AttemptService } from './attempt.service.js';
import { DeadLetterNotifier } from './dead-letter-notifier.service.js';
import { FairQueue } from './fair-queue.js';
import { LatencyEstimates } from './latency-estimates.js';
import { deferredOutcome, type Outcome, unsentOutcome } from './outcome.js';
import { OutcomeStore } from './outcome.store.js';
import { type DeliveryTask, membersOf, permitOf } from './task.js';

/** Buffered tasks per request in flight: enough that no slot waits for a claim. */
const TASKS_PER_REQUEST = 8;

/** Of the queue of a webhook, the share that newer deliveries leave to its backlog. */
const BACKLOG_SHARE = 1 / 8;

/** With what is more urgent than the rest, a queue has at most so many times its limit. */
const MAX_URGENT_FACTOR = 2;

/** Of the requests in flight, those that one owner may have: its slow receivers leave slots to others. */
const OWNER_SHARE = 3 / 4;

/** A stopping worker looks at least this often whether it is done. */
const DRAIN_CHECK_MS = 50;

/**
 * Decides which attempt is made when. Tasks of every source (directly after the commit, through the
 * queue, claimed by the sweeper, pulled for their webhook) are submitted here, and each leaves with
 * exactly one outcome.
 *
 * A task is buffered from {@link submit} until its outcome is durable. The number of buffered tasks
 * is bounded: callers ask for {@link freeCapacity} before they claim.
 */
@Injectable()
export class DeliveryWorker {
  private readonly logger = new Logger(DeliveryWorker.name);
  private readonly queue: FairQueue<DeliveryTask>;
  private readonly concurrency: number;
  private readonly capacity: number;
  private readonly maxPerWebhook: number;
  private readonly leaseMarginMs: number;
  private readonly inFlight = new Set<DeliveryTask>();
  private readonly latencies: LatencyEstimates;
  private bufferedCount = 0;
  private isAccepting = true;
  private waiters: (() => void)[] = [];

  constructor(
    private readonly webhooks: WebhookCache,
    private readonly circuits: Circuits,
    private readonly attempts: AttemptService,
    private readonly deadLetters: DeadLetterNotifier,
    private readonly outcomes: OutcomeStore,
    private readonly signals: DeliverySignals,
    private readonly backlog: Backlog,
    private readonly clock: Clock,
    @Inject(CONFIG) { delivery }: Config,
    @Inject(TIMINGS) timings: Timings,
  ) {
    this.concurrency = delivery.concurrency;
    this.capacity = Math.max(this.concurrency * TASKS_PER_REQUEST, 1_000);
    this.maxPerWebhook = delivery.maxPerWebhook;
    this.leaseMarginMs = timings.leaseMarginMs;
    this.latencies = new LatencyEstimates(timings.webhookQueueMs);
    this.queue = new FairQueue({
      limitOf: (webhookId) => this.concurrencyOf(webhookId),
      maxPerOwner: Math.ceil(this.concurrency * OWNER_SHARE),
    });
  }

  /** How many more tasks it can buffer; 0 while it drains. */
  get freeCapacity(): number {
    return this.isAccepting ? Math.max(this.capacity - this.bufferedCount, 0) : 0;
  }

  /** Takes tasks that this process has leased, and makes their attempts as soon as it can. */
  submit(tasks: readonly DeliveryTask[]): void {
    if (!this.isAccepting) return void this.signals.emit('refused', tasks);
    for (const task of tasks) {
      this.bufferedCount += membersOf(task).length;
      if (this.mayQueue(task)) this.queue.push(task, this.ownerKeyOf(task.webhookId));
      else for (const member of this.endUnsendable(task)) this.defer(member, null);
    }
    this.startNext();
  }

  /** How many more tasks are worth buffering for a webhook. */
  freeCapacityOf(webhookId: string): number {
    return Math.min(
      this.queueLimitOf(webhookId) - this.queue.lengthOf(webhookId),
      this.freeCapacity,
    );
  }

  /** Whether its queue is down to half of its limit, so that more may be pulled. */
  isRunningLow(webhookId: string): boolean {
    return (
      this.queue.lengthOf(webhookId) * 2 <= this.queueLimitOf(webhookId) && this.freeCapacity > 0
    );
  }

  /** Settles when it can buffer this many (at most half of all), or drains. */
  async waitForCapacity(tasks: number): Promise<void> {
    const wanted = Math.min(tasks, this.capacity / 2);
    while (this.isAccepting && this.freeCapacity < wanted) await this.nextChange();
  }

  /**
   * Takes no more tasks and starts no more attempts; those in flight may end.
   * @returns tasks that were not started, or did not end in time: their leases are to be released
   */
  async drain(timeoutMs: number): Promise<DeliveryTask[]> {
    this.isAccepting = false;
    const unstarted = this.queue.drain().flatMap(membersOf);
    this.bufferedCount -= unstarted.length;
    this.notifyWaiters();
    const deadline = performance.now() + timeoutMs;
    while (this.bufferedCount > 0 && performance.now() < deadline) {
      const pause = new Promise((resolve) => setTimeout(resolve, DRAIN_CHECK_MS));
      await Promise.race([this.nextChange(), pause]);
    }
    this.outcomes.giveUp();
    const unfinished = [...this.inFlight].flatMap(membersOf);
    this.inFlight.clear();
    return [...unstarted, ...unfinished];
  }

  /** Webhooks of the operator, and deleted ones, take turns as those of one owner. */
  private ownerKeyOf(webhookId: string): string {
    return this.webhooks.get(webhookId)?.ownerId ?? '';
  }

  private startNext(): void {
    while (this.isAccepting && this.inFlight.size < this.concurrency) {
      const task = this.queue.take();
      if (!task) return;
      this.start(task);
    }
  }

  /** Slots of a webhook on this node; an exclusive one is served by this node only. */
  private concurrencyOf(webhookId: string): number {
    const webhook = this.webhooks.get(webhookId);
    if (webhook && (webhook.ordering === 'fifo' || webhook.batch)) return 1;
    return webhook?.maxConcurrency ?? this.maxPerWebhook;
  }

  private queueLimitOf(webhookId: string): number {
    return this.latencies.queueLimit(webhookId, this.concurrencyOf(webhookId));
  }

  /**
   * Deliveries to exclusive webhooks have to be pulled; so have those beyond a queue limit, once
   * there is capacity. Less urgent ones do not count, so that they delay no urgent one.
   */
  private mayQueue(task: DeliveryTask): boolean {
    const { webhookId, priority } = task;
    if (this.webhooks.get(webhookId)?.needsExclusiveLease) return permitOf(task) !== undefined;
    if (task.source.kind === 'deferred') return true;
    const limit = this.queueLimitOf(webhookId);
    const share = this.backlog.has(webhookId) ? 1 - BACKLOG_SHARE : 1;
    return (
      this.queue.lengthAhead(webhookId, priority) < Math.floor(limit * share) &&
      this.queue.lengthOf(webhookId) < limit * MAX_URGENT_FACTOR
    );
  }

  private start(task: DeliveryTask): void {
    this.inFlight.add(task);
    const webhook = this.webhooks.get(task.webhookId);
    const members = this.endUnsendable(task);
    const mayStart = webhook !== undefined && members.length > 0 && this.mayStart(task, webhook);
    const isAdmitted = task.source.kind === 'deferred';
    const permit = mayStart ? this.circuits.permit(task.webhookId, isAdmitted) : undefined;
    if (webhook && permit) {
      void this.attempt({ task, members, webhook, permit, startedAtMs: this.clock.nowMs() });
      return;
    }
    this.freeSlot(task, false);
    for (const member of members) this.defer(member, mayStart ? 'circuit_open' : null);
  }

  /** Asked right before the request: the process may have been stopped since the claim. */
  private mayStart(
    task: DeliveryTask,
    { timeoutMs, needsExclusiveLease }: RegisteredWebhook,
  ): boolean {
    const nowMs = performance.now();
    // Another worker could claim the delivery before this attempt has ended.
    if (!fitsLease(task.leaseEndsMs, timeoutMs, this.leaseMarginMs, nowMs)) return false;
    return permitOf(task)?.mayStart(nowMs) ?? !needsExclusiveLease;
  }

  /** Ends the deliveries of a task that must not be sent. @returns the others */
  private endUnsendable(task: DeliveryTask): DeliveryTask[] {
    const webhook = this.webhooks.get(task.webhookId);
    const sendable: DeliveryTask[] = [];
    for (const member of membersOf(task)) {
      const unsent = unsentOutcome(member, webhook, this.clock.nowMs());
      if (unsent) this.record(unsent);
      else sendable.push(member);
    }
    return sendable;
  }

  private async attempt(attempt: Attempt): Promise<void> {
    const { task, members, permit } = attempt;
    const startedMs = performance.now();
    try {
      const result = await this.attempts.send(attempt);
      // Cut off by the shutdown: its lease is released, and the next worker records an outcome.
      if (!this.freeSlot(task)) return;
      permitOf(task)?.ended(errorOf(result) === null, startedMs, performance.now());
      this.latencies.observe(task.webhookId, result.durationMs);
      for (const outcome of this.attempts.conclude(attempt, result)) this.record(outcome);
    } catch (error) {
      // A defect of this program: it counts as no attempt, and the lease ends in time.
      const { deliveryId, webhookId } = task;
      const fields = { deliveryId, webhookId };
      logFailure(this.logger, 'error', 'an attempt could not be made', error, fields);
      this.circuits.returnPermit(permit);
      this.freeSlot(task);
      for (const member of members) this.abandon(member, false);
    }
    this.startNext();
  }

  private record(outcome: Outcome): void {
    const { task, attempt } = outcome;
    this.outcomes.record(outcome).then(
      () => this.onRecorded(outcome),
      (error: unknown) => {
        const { deliveryId, webhookId } = task;
        const fields = { deliveryId, webhookId };
        logFailure(this.logger, 'error', 'an outcome was not written', error, fields);
        this.abandon(task, attempt !== null);
      },
    );
  }

  private onRecorded(outcome: Outcome): void {
    const { task, next } = outcome;
    permitOf(task)?.settled(outcome.attempt !== null);
    this.settle(task);
    this.deadLetters.notify(outcome);
    if (next.kind === 'scheduled') this.signals.emit('due', next.inMs);
    if (next.kind === 'deferred') this.signals.emit('deferred', task.webhookId, next.forMs ?? 0);
  }

  /** The task stays buffered until its outcome is durable. @returns whether it still had its slot */
  private freeSlot(task: DeliveryTask, isUsed = true): boolean {
    if (!this.inFlight.delete(task)) return false;
    this.queue.done(task.webhookId, isUsed);
    return true;
  }

  /** Writes it as a deferred row, to be pulled when its webhook can take it. */
  private defer(task: DeliveryTask, reason: string | null): void {
    permitOf(task)?.block();
    this.record(deferredOutcome(task, reason));
  }

  /** Its outcome will not be written: its lease ends in time. */
  private abandon(task: DeliveryTask, isSent: boolean): void {
    permitOf(task)?.abandoned(isSent);
    this.settle(task);
  }

  private settle(task: DeliveryTask): void {
    this.bufferedCount--;
    this.signals.emit('settled', task);
    this.notifyWaiters();
  }

  private nextChange(): Promise<void> {
    return new Promise((resolve) => this.waiters.push(resolve));
  }

  private notifyWaiters(): void {
    if (this.waiters.length > 0) for (const resolve of this.waiters.splice(0)) resolve();
  }
}

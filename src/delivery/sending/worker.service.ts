import { Inject, Injectable, Logger } from '@nestjs/common';
import { NodeRegistry } from '../../cluster/node-registry.service.js';
import { Clock } from '../../database/clock.service.js';
import { CONFIG } from '../../config/config.module.js';
import type { Config } from '../../config/env.js';
import { TIMINGS, type Timings } from '../../config/timings.js';
import { errorOf, type Unsent } from '../../outbound/attempt-result.js';
import { logFailure } from '../../shared/log-failure.js';
import type { RegisteredWebhook } from '../../webhooks/registered-webhook.js';
import { WebhookCache } from '../../webhooks/webhook-cache.service.js';
import { Circuits } from '../circuit/circuits.service.js';
import { fitsLease } from '../leases/lease.js';
import { Backlog, DeliverySignals } from '../signals/delivery-signals.service.js';
import { type Attempt, AttemptService } from './attempt.service.js';
import { AttemptMarksStore } from './attempt-marks.store.js';
import { DeadLetterNotifier } from './dead-letter-notifier.service.js';
import { FairQueue } from './fair-queue.js';
import { deferredOutcome, interruptedOutcome, type Outcome, unsentOutcome } from './outcome.js';
import { OutcomeStore } from './outcome.store.js';
import { QueueLimits } from './queue-limits.js';
import { type DeliveryTask, mayCrash, membersOf, permitOf } from './task.js';

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
  private readonly limits: QueueLimits;
  private readonly leaseMarginMs: number;
  private readonly unsentRetryMs: number;
  /** In the order of their start. */
  private readonly inFlight = new Map<DeliveryTask, Attempt>();
  private bufferedCount = 0;
  private isAccepting = true;
  private waiters: (() => void)[] = [];

  constructor(
    private readonly webhooks: WebhookCache,
    private readonly circuits: Circuits,
    private readonly attempts: AttemptService,
    private readonly deadLetters: DeadLetterNotifier,
    private readonly outcomes: OutcomeStore,
    private readonly marks: AttemptMarksStore,
    private readonly signals: DeliverySignals,
    private readonly backlog: Backlog,
    private readonly clock: Clock,
    nodes: NodeRegistry,
    @Inject(CONFIG) { delivery }: Config,
    @Inject(TIMINGS) timings: Timings,
  ) {
    this.concurrency = delivery.concurrency;
    this.capacity = Math.max(this.concurrency * TASKS_PER_REQUEST, 1_000);
    this.leaseMarginMs = timings.leaseMarginMs;
    this.limits = new QueueLimits({
      webhook: (webhookId) => this.webhooks.get(webhookId),
      maxPerWebhook: delivery.maxPerWebhook,
      workers: () => nodes.aliveCount('worker'),
      queueMs: timings.webhookQueueMs,
    });
    this.unsentRetryMs = timings.unsentRetryMs;
    this.queue = new FairQueue({
      limitOf: (webhookId) => this.limits.slotsOf(webhookId),
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
      if (this.mayQueue(task)) this.enqueue(task);
      else for (const member of this.endUnsendable(task)) this.defer(member, null);
    }
    this.startNext();
  }

  /** How many more tasks are worth buffering for a webhook. */
  freeCapacityOf(webhookId: string): number {
    return Math.min(
      this.limits.queueLimitOf(webhookId) - this.queue.lengthOf(webhookId),
      this.freeCapacity,
    );
  }

  /** Whether its queue is down to half of its limit, so that more may be pulled. */
  isRunningLow(webhookId: string): boolean {
    return (
      this.queue.lengthOf(webhookId) * 2 <= this.limits.queueLimitOf(webhookId) &&
      this.freeCapacity > 0
    );
  }

  /** Settles when it can buffer this many (at most half of all), or drains. */
  async waitForCapacity(tasks: number): Promise<void> {
    const wanted = Math.min(tasks, this.capacity / 2);
    while (this.isAccepting && this.freeCapacity < wanted) await this.nextChange();
  }

  /**
   * Takes no more tasks and starts no more attempts; those in flight may end.
   * Those that do not end in time are recorded as interrupted.
   * @returns tasks without an outcome: their leases are to be released
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
    const cutOff = [...this.inFlight.values()];
    this.inFlight.clear();
    const unrecorded = await Promise.all(cutOff.map((attempt) => this.interrupt(attempt)));
    return [...unstarted, ...unrecorded.flat()];
  }

  /** Marks the attempts in flight that have taken this long. */
  async markAttempts(olderThanMs: number): Promise<void> {
    const beforeMs = this.clock.nowMs() - olderThanMs;
    const old: Attempt[] = [];
    for (const attempt of this.inFlight.values()) {
      if (attempt.startedAtMs > beforeMs) break;
      if (!attempt.isMarked) old.push(attempt);
    }
    if (old.length > 0) await this.mark(old);
  }

  private async mark(attempts: readonly Attempt[]): Promise<void> {
    await this.marks.write(attempts);
    for (const attempt of attempts) attempt.isMarked = true;
  }

  /** @returns those of its deliveries whose outcome could not be written */
  private async interrupt({ members, webhook, startedAtMs }: Attempt): Promise<DeliveryTask[]> {
    const isExclusive = webhook.needsExclusiveLease;
    const written = await Promise.allSettled(
      members.map((task) =>
        this.outcomes.record(
          interruptedOutcome(task, startedAtMs, this.clock.nowMs(), isExclusive),
        ),
      ),
    );
    return members.filter((_, index) => written[index]!.status === 'rejected');
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

  /** One that is more urgent than others displaces the last of them if there are too many. */
  private enqueue(task: DeliveryTask): void {
    const { webhookId, priority } = task;
    this.queue.push(task, this.ownerKeyOf(webhookId));
    if (task.source.kind === 'deferred') return;
    if (this.queue.lengthOf(webhookId) <= this.limits.queueLimitOf(webhookId) * MAX_URGENT_FACTOR)
      return;
    const evicted = this.queue.evict(webhookId, priority);
    if (evicted) for (const member of membersOf(evicted)) this.defer(member, null);
  }

  /**
   * Deliveries to exclusive webhooks have to be pulled; so have those beyond a queue limit, once
   * there is capacity. Less urgent ones do not count, so that they delay no urgent one.
   */
  private mayQueue(task: DeliveryTask): boolean {
    const { webhookId, priority } = task;
    if (this.webhooks.get(webhookId)?.needsExclusiveLease) return permitOf(task) !== undefined;
    if (task.source.kind === 'deferred') return true;
    const limit = this.limits.queueLimitOf(webhookId);
    const share = this.backlog.has(webhookId) ? 1 - BACKLOG_SHARE : 1;
    return this.queue.lengthAhead(webhookId, priority) < Math.floor(limit * share);
  }

  private start(task: DeliveryTask): void {
    const webhook = this.webhooks.get(task.webhookId);
    const members = this.endUnsendable(task);
    const mayStart = webhook !== undefined && members.length > 0 && this.mayStart(task, webhook);
    const isAdmitted = task.source.kind === 'deferred';
    const permit = mayStart ? this.circuits.permit(task.webhookId, isAdmitted) : undefined;
    if (webhook && permit) {
      const startedAtMs = this.clock.nowMs();
      const attempt = { task, members, webhook, permit, startedAtMs, isMarked: false };
      this.inFlight.set(task, attempt);
      void this.attempt(attempt);
      return;
    }
    this.queue.done(task.webhookId, false);
    const why = mayStart ? this.circuits.refusal(task.webhookId) : null;
    for (const member of members) this.defer(member, why);
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
    if (members.some(mayCrash) && !(await this.markFirst(attempt))) return;
    const startedMs = performance.now();
    try {
      const result = await this.attempts.send(attempt);
      if (result.kind === 'unsent') return this.onUnsent(attempt, result);
      // Cut off by the shutdown: its lease is released, and the next worker records an outcome.
      if (!this.freeSlot(task)) return;
      const isSuccess = errorOf(result) === null;
      permitOf(task)?.ended(isSuccess, startedMs, performance.now(), result.isResent);
      this.limits.observe(task.webhookId, result.durationMs);
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

  /** No request was made, for no reason of the receiver: it is no attempt, and no failure. */
  private onUnsent({ task, members, permit }: Attempt, { reason }: Unsent): void {
    this.circuits.returnPermit(permit);
    if (!this.freeSlot(task, false)) return;
    for (const member of members) this.defer(member, reason, this.unsentRetryMs);
    this.startNext();
  }

  /**
   * Before a request that may crash this worker, too: the next one has to know of it.
   * @returns whether it may be made then
   */
  private async markFirst(attempt: Attempt): Promise<boolean> {
    const { task, members, webhook, permit } = attempt;
    try {
      await this.mark([attempt]);
    } catch (error) {
      logFailure(this.logger, 'warn', 'an attempt is not marked, and not made', error);
    }
    if (attempt.isMarked && this.inFlight.has(task) && this.mayStart(task, webhook)) return true;
    this.circuits.returnPermit(permit);
    if (!this.freeSlot(task, false)) return false;
    for (const member of members) this.defer(member, null);
    this.startNext();
    return false;
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
  private defer(task: DeliveryTask, reason: string | null, forMs = 0): void {
    permitOf(task)?.block();
    this.record(deferredOutcome(task, reason, forMs));
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

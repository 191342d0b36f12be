import { Inject, Injectable, Logger } from '@nestjs/common';
import { CONFIG } from '../../config/config.module.js';
import type { Config } from '../../config/env.js';
import type { RegisteredWebhook } from '../../webhooks/registered-webhook.js';
import { WebhookCache } from '../../webhooks/webhook-cache.service.js';
import { Backlog } from '../signals/backlog.service.js';
import { DeliverySignals } from '../signals/delivery-signals.service.js';
import { type DeliveryTask, membersOf, permitOf } from './task.js';
import { fitsLease } from '../claims/lease.js';
import { type Attempt, AttemptService } from './attempt.service.js';
import { Circuits } from '../circuit/circuits.service.js';
import { DeadLetterNotifier } from './dead-letter-notifier.service.js';
import { errorOf } from './decide.js';
import { FairQueue } from './fair-queue.js';
import { LatencyEstimates } from './latency-estimates.js';
import type { Outcome } from './outcome.js';
import { OutcomeStore } from './outcome.store.js';
import { deferredOutcome, unsentOutcome } from './task-outcome.js';

/** Tasks held in memory per request in flight: enough to keep every line busy, and no more. */
const TASKS_PER_REQUEST = 8;

/** Of a line, what is left to deliveries that were held, while newer ones come as fast as they go. */
const HELD_SHARE = 1 / 8;

/** With what is more urgent than the rest of it, a line is at most so many times as long. */
const MAX_LINES = 2;

/** Of the requests in flight, those that one owner may have: its slow receivers leave room for others. */
const OWNER_SHARE = 3 / 4;

/**
 * Decides which attempt is made when. Every way in which a task can reach a worker (directly after the commit,
 * through the queue, from the sweeper) ends here, and every task leaves by exactly one outcome.
 *
 * A task is held from {@link submit} until its outcome is durable; the number of held tasks is
 * bounded, and whoever brings more asks for {@link freeCapacity} first.
 */
@Injectable()
export class DeliveryWorker {
  private readonly logger = new Logger(DeliveryWorker.name);
  private readonly queue: FairQueue<DeliveryTask>;
  private readonly concurrency: number;
  private readonly capacity: number;
  private readonly maxPerWebhook: number;
  private readonly inFlight = new Set<DeliveryTask>();
  private readonly latencies = new LatencyEstimates();
  private held = 0;
  private isAccepting = true;
  private waiters: (() => void)[] = [];
  constructor(
    private readonly registry: WebhookCache,
    private readonly circuits: Circuits,
    private readonly attempts: AttemptService,
    private readonly deadLetters: DeadLetterNotifier,
    private readonly outcomes: OutcomeStore,
    private readonly signals: DeliverySignals,
    private readonly backlog: Backlog,
    @Inject(CONFIG) config: Config,
  ) {
    this.concurrency = config.delivery.concurrency;
    this.capacity = Math.max(this.concurrency * TASKS_PER_REQUEST, 1_000);
    this.maxPerWebhook = config.delivery.maxPerWebhook;
    this.queue = new FairQueue({
      limitOf: (webhookId) => this.placesOf(webhookId),
      maxPerOwner: Math.ceil(this.concurrency * OWNER_SHARE),
    });
  }

  /** How many more tasks it can hold now; 0 while it drains. */
  get freeCapacity(): number {
    return this.isAccepting ? Math.max(this.capacity - this.held, 0) : 0;
  }

  /** Takes tasks whose leases this process holds, and makes their attempts as soon as it can. */
  submit(tasks: readonly DeliveryTask[]): void {
    if (!this.isAccepting) return void this.signals.emit('refused', tasks);
    for (const task of tasks) {
      this.held += membersOf(task).length;
      if (this.mayStandInLine(task)) this.queue.push(task, this.ownerKeyOf(task.webhookId));
      else for (const member of this.withoutUnsent(task)) this.hold(member, null);
    }
    this.pump();
  }

  /** How many more tasks are worth keeping in memory for a webhook. */
  freeCapacityOf(webhookId: string): number {
    return Math.min(
      this.lineLengthOf(webhookId) - this.queue.lengthOf(webhookId),
      this.freeCapacity,
    );
  }

  /** Whether its line is down to half of that, so that more may be fetched. */
  isRunningLow(webhookId: string): boolean {
    return (
      this.queue.lengthOf(webhookId) * 2 <= this.lineLengthOf(webhookId) && this.freeCapacity > 0
    );
  }

  /** Settles when there is room for this many (at most half of all), or the worker drains. */
  async waitForCapacity(tasks: number): Promise<void> {
    const wanted = Math.min(tasks, this.capacity / 2);
    while (this.isAccepting && this.freeCapacity < wanted) await this.change();
  }

  /**
   * Takes no more tasks and starts no more attempts; those in flight may end.
   * @returns the tasks that were never started, or did not end in time: their leases are to be given back
   */
  async drain(graceMs: number): Promise<DeliveryTask[]> {
    this.isAccepting = false;
    const unstarted = this.queue.drain().flatMap(membersOf);
    this.held -= unstarted.length;
    this.notify();
    const deadline = performance.now() + graceMs;
    while (this.held > 0 && performance.now() < deadline) {
      await Promise.race([this.change(), new Promise((resolve) => setTimeout(resolve, 50))]);
    }
    this.outcomes.giveUp();
    const cut = [...this.inFlight].flatMap(membersOf);
    this.inFlight.clear();
    return [...unstarted, ...cut];
  }

  /** The operator's webhooks, which have no owner, take their turns as one; so do those that are gone. */
  private ownerKeyOf(webhookId: string): string {
    return this.registry.get(webhookId)?.ownerId ?? '';
  }

  private pump(): void {
    while (this.isAccepting && this.inFlight.size < this.concurrency) {
      const task = this.queue.take();
      if (!task) return;
      this.start(task);
    }
  }

  /** Requests to this webhook at once: in this process, or in all if it has a lane, which is here. */
  private placesOf(webhookId: string): number {
    const webhook = this.registry.get(webhookId);
    if (webhook && (webhook.ordering === 'fifo' || webhook.batch)) return 1;
    return webhook?.maxConcurrency ?? this.maxPerWebhook;
  }

  private lineLengthOf(webhookId: string): number {
    return this.latencies.queueLimit(webhookId, this.placesOf(webhookId));
  }

  /**
   * What has a lane is pulled by its holder; what exceeds a line is pulled when there is room. What is
   * less urgent does not count, so that a backlog of it stands in nobody's way.
   */
  private mayStandInLine(task: DeliveryTask): boolean {
    const { webhookId, priority } = task;
    if (this.registry.get(webhookId)?.needsExclusiveLease) return permitOf(task) !== undefined;
    if (task.source.kind === 'deferred') return true;
    const length = this.lineLengthOf(webhookId);
    const share = this.backlog.has(webhookId) ? 1 - HELD_SHARE : 1;
    return (
      this.queue.lengthAhead(webhookId, priority) < Math.floor(length * share) &&
      this.queue.lengthOf(webhookId) < length * MAX_LINES
    );
  }

  private start(task: DeliveryTask): void {
    this.inFlight.add(task);
    const webhook = this.registry.get(task.webhookId);
    const members = this.withoutUnsent(task);
    const isFit = webhook !== undefined && members.length > 0 && this.mayStart(task, webhook);
    const isAdmitted = task.source.kind === 'deferred';
    const permit = isFit ? this.circuits.permit(task.webhookId, isAdmitted) : undefined;
    if (webhook && permit) {
      void this.attempt({ task, members, webhook, permit, startedAtMs: Date.now() });
      return;
    }
    this.leave(task, false);
    for (const member of members) this.hold(member, isFit ? 'circuit_open' : null);
  }

  /** Asked right before the request: the process may have slept since the task was taken. */
  private mayStart(
    task: DeliveryTask,
    { timeoutMs, needsExclusiveLease }: RegisteredWebhook,
  ): boolean {
    const nowMs = performance.now();
    // It waited too long: somebody else may own the delivery before this attempt would end.
    if (!fitsLease(task.leaseEndsMs, timeoutMs, nowMs)) return false;
    return permitOf(task)?.mayStart(nowMs) ?? !needsExclusiveLease;
  }

  /** Ends what is not to be sent at all. @returns the others of those that the task stands for */
  private withoutUnsent(task: DeliveryTask): DeliveryTask[] {
    const webhook = this.registry.get(task.webhookId);
    const sendable: DeliveryTask[] = [];
    for (const member of membersOf(task)) {
      const unsent = unsentOutcome(member, webhook, Date.now());
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
      // Cut off by a shutdown: its lease was given back, the outcome belongs to the next owner.
      if (!this.leave(task)) return;
      permitOf(task)?.ended(errorOf(result) === null, startedMs, performance.now());
      this.latencies.observe(task.webhookId, result.durationMs);
      for (const outcome of this.attempts.conclude(attempt, result)) this.record(outcome);
    } catch (error) {
      // A defect of ours, not the receiver's fault: no attempt is counted, the lease ends by itself.
      this.logger.error(`delivery ${task.deliveryId} could not be attempted: ${String(error)}`);
      this.circuits.returnPermit(permit);
      this.leave(task);
      for (const member of members) this.abandon(member, false);
    }
    this.pump();
  }

  private record(outcome: Outcome): void {
    const { task, attempt, dueInMs } = outcome;
    this.outcomes.record(outcome).then(
      () => {
        permitOf(task)?.settled(attempt !== null);
        this.release(task);
        this.deadLetters.notify(outcome);
        if (dueInMs !== null) this.signals.emit('due', dueInMs);
        else if (isHeld(outcome))
          this.signals.emit('deferred', task.webhookId, outcome.deferForMs ?? 0);
      },
      (error: unknown) => {
        this.logger.error(`an outcome was not written: ${task.deliveryId}: ${String(error)}`);
        this.abandon(task, attempt !== null);
      },
    );
  }

  /** Frees the place in flight; the task stays held until its outcome is durable. */
  private leave(task: DeliveryTask, isSent = true): boolean {
    if (!this.inFlight.delete(task)) return false;
    this.queue.done(task.webhookId, isSent);
    return true;
  }

  /** Puts it back as a row that waits for its webhook, to be pulled when that can take it. */
  private hold(task: DeliveryTask, reason: string | null): void {
    permitOf(task)?.block();
    this.record(deferredOutcome(task, reason));
  }

  /** No outcome of it will be written: its lease ends by itself. */
  private abandon(task: DeliveryTask, isSent: boolean): void {
    permitOf(task)?.abandoned(isSent);
    this.release(task);
  }

  private release(task: DeliveryTask): void {
    this.held--;
    this.signals.emit('settled', task);
    this.notify();
  }

  private change(): Promise<void> {
    return new Promise((resolve) => this.waiters.push(resolve));
  }

  private notify(): void {
    if (this.waiters.length > 0) for (const resolve of this.waiters.splice(0)) resolve();
  }
}

/** Whether it waits for its webhook now. */
const isHeld = ({ status, dueInMs }: Outcome): boolean =>
  dueInMs === null && (status === 'pending' || status === 'retrying');

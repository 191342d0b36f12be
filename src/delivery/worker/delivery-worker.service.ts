import { Inject, Injectable, Logger } from '@nestjs/common';
import { CONFIG } from '../../config/config.module.js';
import type { Config } from '../../config/env.js';
import type { AttemptResult } from '../../outbound/attempt-result.js';
import { OutboundHttpClient } from '../../outbound/outbound-http.client.js';
import type { RegisteredWebhook } from '../../webhooks/registered-webhook.js';
import { WebhookRegistry } from '../../webhooks/webhook-registry.service.js';
import { WebhooksService } from '../../webhooks/webhooks.service.js';
import type { DeliveryTask } from '../delivery-task.js';
import { fitsLease } from '../lease.js';
import { webhookRequest } from '../webhook-request.js';
import { decide, type Decision, errorOf } from './decide.js';
import { FairQueue } from './fair-queue.js';
import { LatencyEstimates } from './latency-estimates.js';
import type { Outcome } from './outcome.js';
import { OutcomeStore } from './outcome.store.js';
import { attemptedOutcome, canceled, unsentOutcome, waitingStatus } from './task-outcome.js';

/** Tasks held in memory per request in flight: enough to keep every line busy, and no more. */
const TASKS_PER_REQUEST = 8;

/** Tasks held per place of a webhook; what exceeds it waits in PostgreSQL, not in memory. */
const TASKS_PER_PLACE = 50;

/** Of the requests in flight, those that one owner may have: its slow receivers leave room for others. */
const OWNER_SHARE = 3 / 4;

/**
 * Makes the attempts. Every way in which a task can reach a worker (directly after the commit,
 * through the queue, from the sweeper) ends here, and every task leaves by exactly one outcome.
 *
 * A task is held from {@link submit} until its outcome is durable; the number of held tasks is
 * bounded, and whoever brings more asks for {@link room} first.
 */
@Injectable()
export class DeliveryWorker {
  private readonly logger = new Logger(DeliveryWorker.name);
  private readonly queue: FairQueue<DeliveryTask>;
  private readonly concurrency: number;
  private readonly capacity: number;
  private readonly maxPerWebhook: number;
  private readonly longestLine: number;
  private readonly inFlight = new Set<DeliveryTask>();
  private readonly latencies = new LatencyEstimates();
  private held = 0;
  private isAccepting = true;
  private waiters: (() => void)[] = [];
  private dueHandler: (inMs: number) => void = () => undefined;
  private refusedHandler: (tasks: readonly DeliveryTask[]) => void = () => undefined;

  constructor(
    private readonly registry: WebhookRegistry,
    private readonly webhooks: WebhooksService,
    private readonly outbound: OutboundHttpClient,
    private readonly outcomes: OutcomeStore,
    @Inject(CONFIG) config: Config,
  ) {
    this.concurrency = config.delivery.concurrency;
    this.capacity = Math.max(this.concurrency * TASKS_PER_REQUEST, 1_000);
    this.maxPerWebhook = config.delivery.maxPerWebhook;
    this.longestLine = this.maxPerWebhook * TASKS_PER_PLACE;
    this.queue = new FairQueue({
      limitOf: () => this.maxPerWebhook,
      maxPerOwner: Math.ceil(this.concurrency * OWNER_SHARE),
    });
  }

  /** How many more tasks it can hold now; 0 while it drains. */
  get room(): number {
    return this.isAccepting ? Math.max(this.capacity - this.held, 0) : 0;
  }

  /** Takes tasks whose leases this process holds, and makes their attempts as soon as it can. */
  submit(tasks: readonly DeliveryTask[]): void {
    if (!this.isAccepting) return this.refusedHandler(tasks);
    this.held += tasks.length;
    for (const task of tasks) {
      if (this.queue.lengthOf(task.webhookId) >= this.longestLine) this.defer(task);
      else this.queue.push(task, this.ownerKeyOf(task.webhookId));
    }
    this.pump();
  }

  /** Settles when there is room for this many (at most half of all), or the worker drains. */
  async roomFor(tasks: number): Promise<void> {
    const wanted = Math.min(tasks, this.capacity / 2);
    while (this.isAccepting && this.room < wanted) await this.change();
  }

  /** Told when a row falls due in so many milliseconds, which this process has just written. */
  onDue(handler: (inMs: number) => void): void {
    this.dueHandler = handler;
  }

  /** Told of tasks that were claimed before it drained and came after: to be given back. */
  onRefused(handler: (tasks: readonly DeliveryTask[]) => void): void {
    this.refusedHandler = handler;
  }

  /**
   * Takes no more tasks and starts no more attempts; those in flight may end.
   * @returns the tasks that were never started, or did not end in time: their leases are to be given back
   */
  async drain(graceMs: number): Promise<DeliveryTask[]> {
    this.isAccepting = false;
    const unstarted = this.queue.drain();
    this.held -= unstarted.length;
    this.notify();
    const deadline = performance.now() + graceMs;
    while (this.held > 0 && performance.now() < deadline) {
      await Promise.race([this.change(), new Promise((resolve) => setTimeout(resolve, 50))]);
    }
    this.outcomes.giveUp();
    const cut = [...this.inFlight];
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

  private start(task: DeliveryTask): void {
    this.inFlight.add(task);
    const webhook = this.registry.get(task.webhookId);
    const unsent = unsentOutcome(task, webhook, Date.now());
    if (unsent || !webhook) {
      this.leave(task);
      this.record(unsent ?? canceled(task));
    } else if (!fitsLease(task.leaseEndsMs, webhook.timeoutMs, performance.now())) {
      // It waited too long: somebody else may own the delivery before this attempt would end.
      this.leave(task);
      this.defer(task);
    } else {
      void this.attempt(task, webhook);
    }
  }

  private async attempt(task: DeliveryTask, webhook: RegisteredWebhook): Promise<void> {
    const startedAtMs = Date.now();
    const { event, deliveryId, attempt } = task;
    const toSend = {
      eventId: event.id,
      eventType: event.type,
      body: event.body,
      deliveryId,
      attempt,
    };
    try {
      const result = await this.outbound.post(webhookRequest(toSend, webhook, startedAtMs));
      // Cut off by a shutdown: its lease was given back, the outcome belongs to the next owner.
      if (!this.leave(task)) return;
      this.latencies.observe(task.webhookId, result.durationMs);
      this.conclude(task, webhook, result, startedAtMs);
    } catch (error) {
      // A defect of ours, not the receiver's fault: no attempt is counted, the lease ends by itself.
      this.logger.error(`delivery ${deliveryId} could not be attempted: ${String(error)}`);
      this.leave(task);
      this.release(task);
    }
    this.pump();
  }

  private conclude(
    task: DeliveryTask,
    webhook: RegisteredWebhook,
    result: AttemptResult,
    startedAtMs: number,
  ): void {
    const decision = decide({
      result,
      attempt: task.attempt - task.budgetStart,
      policy: webhook.retryPolicy,
      expiresAtMs: task.event.expiresAtMs,
      nowMs: Date.now(),
      random: Math.random(),
    });
    if (decision.kind === 'gone') this.disable(webhook);
    if (decision.kind !== 'success') this.log(task, result, decision);
    this.record(attemptedOutcome(task, result, decision, startedAtMs));
  }

  private record(outcome: Outcome): void {
    this.outcomes.record(outcome).then(
      () => {
        this.release(outcome.task);
        if (outcome.dueInMs !== null) this.dueHandler(outcome.dueInMs);
      },
      (error: unknown) => {
        this.logger.error(
          `an outcome was not written: ${outcome.task.deliveryId}: ${String(error)}`,
        );
        this.release(outcome.task);
      },
    );
  }

  /** Frees the place in flight; the task stays held until its outcome is durable. */
  private leave(task: DeliveryTask): boolean {
    if (!this.inFlight.delete(task)) return false;
    this.queue.done(task.webhookId);
    return true;
  }

  /** Puts it back as a row that is due when its webhook will have had time for it. */
  private defer(task: DeliveryTask): void {
    const { webhookId } = task;
    const line = this.queue.lengthOf(webhookId);
    const nowMs = performance.now();
    const dueInMs = this.latencies.deferralMs(webhookId, line, this.maxPerWebhook, nowMs);
    this.record({ task, status: waitingStatus(task), dueInMs, error: null, attempt: null });
  }

  private release(task: DeliveryTask): void {
    this.held--;
    task.onSettled?.();
    this.notify();
  }

  private change(): Promise<void> {
    return new Promise((resolve) => this.waiters.push(resolve));
  }

  private notify(): void {
    if (this.waiters.length > 0) for (const resolve of this.waiters.splice(0)) resolve();
  }

  private disable(webhook: RegisteredWebhook): void {
    this.webhooks.disable(webhook.id, 'gone').then(
      () =>
        this.logger.warn({ message: 'webhook.disabled', webhookId: webhook.id, reason: 'gone' }),
      (error: unknown) =>
        this.logger.error(`webhook ${webhook.id} could not be disabled: ${String(error)}`),
    );
  }

  private log(task: DeliveryTask, result: AttemptResult, decision: Decision): void {
    const line = {
      message: decision.kind === 'retry' ? 'delivery.failed' : 'delivery.dead_lettered',
      deliveryId: task.deliveryId,
      eventId: task.event.id,
      webhookId: task.webhookId,
      attempt: task.attempt,
      statusCode: result.kind === 'responded' ? result.statusCode : undefined,
      error: errorOf(result),
      durationMs: Math.round(result.durationMs),
      retryInMs: decision.kind === 'retry' ? decision.delayMs : undefined,
    };
    if (decision.kind === 'retry') this.logger.debug(line);
    else this.logger.warn(line);
  }
}

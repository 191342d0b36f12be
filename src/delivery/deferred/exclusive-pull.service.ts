import { Injectable } from '@nestjs/common';
import { newId } from '../../shared/ids.js';
import type { RegisteredWebhook } from '../../webhooks/registered-webhook.js';
import { WebhookCache } from '../../webhooks/webhook-cache.service.js';
import { deliveryId } from '../delivery-id.js';
import { nextBatch } from '../exclusive/batching.js';
import { firstMissing, nextInOrder } from '../exclusive/in-order.js';
import type { WebhookLease } from '../exclusive/webhook-lease.js';
import { DeliveryWorker } from '../sending/worker.service.js';
import { type Claim, DeferredClaims, urgent } from './deferred-claims.service.js';
import {
  type BacklogHead,
  DeferredDeliveriesStore,
  type UndispatchedEvent,
} from './deferred.store.js';
import { MAX_UNDISPATCHED } from './deferred.statements.js';
import { BUSY, IDLE, MAX_PULL, MIN_WAIT_MS, MORE, type PullResult } from './pull-result.js';
import { agedCount, type Selection } from './selection.js';

/** Deliveries per pull where one waits for the other: those behind a failure were claimed in vain. */
const MAX_SERIAL_PULL = 50;
const MAX_WAIT_FOR_OTHERS_MS = 500;

/** Whether a delivery, or a batch, waits for the outcome of the one before. */
const isSerial = ({ ordering, batch }: RegisteredWebhook): boolean =>
  ordering === 'fifo' || batch !== null;

/** Pulls the backlog of an exclusive webhook, as far as its order, rate and concurrency allow. */
@Injectable()
export class ExclusivePull {
  constructor(
    private readonly store: DeferredDeliveriesStore,
    private readonly claims: DeferredClaims,
    private readonly worker: DeliveryWorker,
    private readonly webhooks: WebhookCache,
  ) {}

  async pull(webhook: RegisteredWebhook, lease: WebhookLease): Promise<PullResult> {
    const { id, batch, ordering } = webhook;
    const { failureCount } = lease;
    const others = await this.waitForOthers(webhook, lease);
    if (others) return others;
    if (lease.isBlocked || (batch && lease.outstanding > 0)) return BUSY;
    const capacity = this.capacity(webhook, lease);
    if (typeof capacity !== 'number') return capacity;
    const order = ordering === 'fifo' ? 'inOrder' : 'byPriority';
    const limit = await this.claims.admit(id, batch ? 1 : capacity, order);
    if (typeof limit !== 'number') return limit;
    if (batch) return this.pullBatch(webhook, lease);
    if (ordering === 'fifo') return this.pullInOrder(webhook, lease, limit, failureCount);
    return this.pullUnordered(webhook, lease, limit);
  }

  /**
   * Deliveries of the previous node, alive or crashed, have to end first: at the latest when their
   * leases end. Undefined: nothing to wait for.
   */
  private async waitForOthers(
    webhook: RegisteredWebhook,
    lease: WebhookLease,
  ): Promise<PullResult | undefined> {
    const isLimited = isSerial(webhook) || webhook.maxConcurrency !== null;
    if (lease.ownsAllInFlight || !isLimited) return undefined;
    if (lease.outstanding > 0) return BUSY;
    const { count, untilMs } = await this.store.leased(webhook.id);
    if (count > 0) {
      return { kind: 'wait', ms: Math.min(Math.max(untilMs, MIN_WAIT_MS), MAX_WAIT_FOR_OTHERS_MS) };
    }
    lease.ownsAllInFlight = true;
    return undefined;
  }

  /** What the capacity of the worker and the rate limit allow, at least 1, or what to wait for. */
  private capacity(webhook: RegisteredWebhook, lease: WebhookLease): number | PullResult {
    const { id, rateLimit } = webhook;
    const maxPull = isSerial(webhook) ? MAX_SERIAL_PULL : MAX_PULL;
    const capacity = Math.min(this.worker.freeCapacityOf(id), maxPull);
    if (capacity <= 0) return BUSY;
    if (!rateLimit) return capacity;
    const nowMs = performance.now();
    const free = lease.window.free(rateLimit, nowMs);
    if (free > 0) return Math.min(capacity, free);
    const atMs = lease.window.nextFreeMs(rateLimit, nowMs);
    return atMs === undefined ? BUSY : { kind: 'wait', ms: atMs - nowMs };
  }

  private async pullUnordered(
    { id, timeoutMs }: RegisteredWebhook,
    lease: WebhookLease,
    limit: number,
  ): Promise<PullResult> {
    const claim = { webhookId: id, timeoutMs, limit, selection: urgent(limit) };
    const take = (change: Partial<Claim> = {}) =>
      this.claims.claimUnderLease({ ...claim, ...change }, lease, 'each');
    const probe = this.claims.requestedProbe(id);
    let tasks = probe ? await take({ selection: probe }) : [];
    if (tasks.length === 0) tasks = await take();
    this.worker.submit(tasks);
    return tasks.length > 0 ? MORE : IDLE;
  }

  /** @param failureCount of the lease, before the heads are read */
  private async pullInOrder(
    webhook: RegisteredWebhook,
    lease: WebhookLease,
    limit: number,
    failureCount: number,
  ): Promise<PullResult> {
    const { heads, undispatched } = await this.store.headsInOrder(webhook.id, limit);
    if (heads.length === 0) return IDLE;
    const next = nextInOrder(heads, this.firstMissing(webhook, undispatched));
    if (next.kind === 'wait') return next;
    const { count, upToEvent, isQuarantined } = next;
    if (isQuarantined && lease.outstanding > 0) return BUSY;
    // A delivery has failed since: it is first again, and not among the heads that were read.
    if (lease.failureCount !== failureCount) return MORE;
    const claim: Claim = {
      webhookId: webhook.id,
      timeoutMs: webhook.timeoutMs,
      limit: count,
      selection: { kind: 'inOrder', upToEvent },
    };
    const tasks = await this.claims.claimUnderLease(claim, lease, 'sequence');
    // One priority for all: the queue keeps their order.
    for (const task of tasks) task.priority = 1;
    this.worker.submit(tasks);
    return MORE;
  }

  private async pullBatch(webhook: RegisteredWebhook, lease: WebhookLease): Promise<PullResult> {
    const heads = await this.headsForBatch(webhook);
    if (!Array.isArray(heads)) return heads;
    const members = membersOfNext(webhook, heads);
    if ('kind' in members) return members;
    const { id: webhookId, timeoutMs } = webhook;
    const claim = { ...members, webhookId, timeoutMs };
    const [leader, ...followers] = await this.claims.claimUnderLease(claim, lease, 'batch');
    if (!leader) return { kind: 'wait', ms: MIN_WAIT_MS };
    leader.source = { ...leader.source, batch: { id: members.batchId, followers } };
    this.worker.submit([leader]);
    return BUSY;
  }

  /** What the next batch may contain, in the order in which it is to be filled. */
  private async headsForBatch(webhook: RegisteredWebhook): Promise<BacklogHead[] | PullResult> {
    const { id, ordering } = webhook;
    const { maxEvents } = webhook.batch!;
    if (ordering !== 'fifo') {
      const aged = agedCount(maxEvents, Math.random());
      const heads = await this.store.headsByPriority(id, maxEvents, aged, true);
      return heads.length === 0 ? IDLE : heads;
    }
    const { heads, undispatched } = await this.store.headsInOrder(id, maxEvents, true);
    if (heads.length === 0) return IDLE;
    const next = nextInOrder(heads, this.firstMissing(webhook, undispatched));
    return next.kind === 'wait' ? next : heads.slice(0, next.count);
  }

  /** The first event that belongs before deliveries of the backlog, and has no delivery yet. */
  private firstMissing(
    { id }: RegisteredWebhook,
    undispatched: readonly UndispatchedEvent[],
  ): string | undefined {
    const isForWebhook = ({ isMatched, ownerId, type }: UndispatchedEvent) =>
      isMatched || this.webhooks.match(ownerId, type).some((webhook) => webhook.id === id);
    return firstMissing(undispatched, isForWebhook, MAX_UNDISPATCHED);
  }
}

type BatchMembers = Pick<Claim, 'limit' | 'selection' | 'isUnbatched'> & { batchId: string };

/** @param heads at least one */
function membersOfNext(
  webhook: RegisteredWebhook,
  heads: readonly BacklogHead[],
): BatchMembers | PullResult {
  // Alone, so under an id of its own: a receiver drops what it knows, and may know others of its batch
  // by the old one.
  if (heads[0]!.isQuarantined) {
    return { batchId: newId('bat'), limit: 1, selection: exactly(webhook, heads.slice(0, 1)) };
  }
  const next = nextBatch(heads, webhook.batch!);
  switch (next.kind) {
    case 'wait':
      return { kind: 'wait', ms: Math.max(next.ms, 1) };
    case 'again': {
      const { batchId } = next;
      return { batchId, limit: MAX_PULL, selection: { kind: 'ofBatch', batchId } };
    }
    case 'new': {
      const selection = exactly(webhook, heads.slice(0, next.count));
      return { batchId: newId('bat'), limit: next.count, selection, isUnbatched: true };
    }
  }
}

/** These deliveries; in order also none of those that were deferred between them since. */
const exactly = ({ id, ordering }: RegisteredWebhook, heads: readonly BacklogHead[]): Selection =>
  ordering === 'fifo'
    ? { kind: 'inOrder', upToEvent: heads.at(-1)!.eventId }
    : { kind: 'these', ids: heads.map(({ eventId }) => deliveryId(eventId, id)) };

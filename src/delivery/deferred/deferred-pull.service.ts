import { Injectable } from '@nestjs/common';
import { newId } from '../../shared/ids.js';
import type { RegisteredWebhook } from '../../webhooks/registered-webhook.js';
import { WebhookCache } from '../../webhooks/webhook-cache.service.js';
import { deliveryId } from '../delivery-id.js';
import { taskOf } from '../claims/claimed-delivery.js';
import { QUARANTINE_AFTER } from '../leases/lease.js';
import { LeaseTokens } from '../leases/lease-tokens.service.js';
import type { DeliveryTask, TaskSource } from '../sending/task.js';
import { Circuits } from '../circuit/circuits.service.js';
import { DeliveryWorker } from '../sending/worker.service.js';
import {
  DeferredDeliveriesStore,
  type QueueHead,
  type Pull,
  type PullLease,
  type UndispatchedEvent,
} from './deferred.store.js';
import type { WebhookLease, SendPermit, PermitKind } from '../exclusive/webhook-lease.js';
import { ExclusiveWebhooks } from '../exclusive/exclusive-webhooks.service.js';
import { agedCount } from './selection.js';
import { nextBatch } from '../exclusive/batching.js';
import { nextInOrder } from '../exclusive/in-order.js';
import type { Selection } from './pull.statements.js';
import { OrphanedDeliveriesStore } from './orphaned.store.js';

/** What a pull found out about the line. */
export type PullResult =
  /** Something was taken, and there may be more. */
  | { kind: 'more' }
  /** There may be more, when something that is out has ended. */
  | { kind: 'busy' }
  /** Look again after this time. */
  | { kind: 'wait'; ms: number }
  /** Nothing is to be done until something happens. */
  | { kind: 'rest' };

const REST: PullResult = { kind: 'rest' };
const MORE: PullResult = { kind: 'more' };
const BUSY: PullResult = { kind: 'busy' };

/** Deliveries per pull. */
const MAX_PULL = 200;
/** Those of a line where one waits for the other: what is behind one that fails was taken in vain. */
const MAX_RUN = 50;
/** How soon to look again for the end of something that nobody tells of. */
const MIN_WAIT_MS = 50;
const MAX_WAIT_FOR_OTHERS_MS = 500;

type PulledTask = DeliveryTask & { source: Extract<TaskSource, { kind: 'deferred' }> };

/** What to take, and the deadline of the attempts that its lease is made for. */
type Claim = Omit<Pull, 'token' | 'leaseMs'> & { timeoutMs: number };

/** By priority, and some of the oldest. */
const urgent = (limit: number): Selection => ({
  kind: 'urgent',
  aged: agedCount(limit, Math.random()),
});

/** Whether one delivery, or batch, waits for the outcome of the one before. */
const isSerial = ({ ordering, batch }: RegisteredWebhook): boolean =>
  ordering === 'fifo' || batch !== null;

/**
 * Takes as much of what is held for one webhook as may be sent now, and hands it to the worker: as
 * far as the worker has room, the circuit admits it, and, for a webhook with a lane, its order, its
 * rate and its concurrency allow.
 */
@Injectable()
export class DeferredPull {
  constructor(
    private readonly store: DeferredDeliveriesStore,
    private readonly unserved: OrphanedDeliveriesStore,
    private readonly lanes: ExclusiveWebhooks,
    private readonly circuits: Circuits,
    private readonly worker: DeliveryWorker,
    private readonly registry: WebhookCache,
    private readonly tokens: LeaseTokens,
  ) {}

  async pull(webhookId: string): Promise<PullResult> {
    if (!this.registry.get(webhookId)) await this.registry.refresh();
    const webhook = this.registry.get(webhookId);
    if (!webhook) return this.end(webhookId);
    if (!webhook.active) return webhook.disabledReason === null ? REST : this.end(webhookId);
    if (!webhook.needsExclusiveLease) return this.pullPlain(webhook);
    const lane = this.lanes.get(webhookId);
    return lane && !lane.isLeaving ? this.pullForLane(webhook, lane) : REST;
  }

  /**
   * Of a webhook that is gone: the worker says what becomes of each, and sends none. What waits for a
   * time comes when nothing else is left.
   */
  private async end(webhookId: string): Promise<PullResult> {
    const limit = Math.min(this.worker.freeCapacity, MAX_PULL);
    if (limit === 0) return { kind: 'wait', ms: MIN_WAIT_MS };
    const { timeoutMs } = this.registry.get(webhookId) ?? { timeoutMs: 0 };
    let isAny = false;
    for (const suspects of [false, true]) {
      const tasks = await this.claim({
        webhookId,
        timeoutMs,
        limit,
        quarantined: suspects,
        selection: urgent(limit),
      });
      this.worker.submit(tasks);
      isAny ||= tasks.length > 0;
    }
    return isAny || (await this.unserved.release(webhookId)) > 0 ? MORE : REST;
  }

  private async pullPlain({ id, timeoutMs }: RegisteredWebhook): Promise<PullResult> {
    const room = Math.min(this.worker.freeCapacityOf(id), MAX_PULL);
    if (room <= 0) return BUSY;
    const lack = await this.lackOfProbe(id, false);
    if (lack) return lack;
    const limit = await this.circuits.admit(id, room);
    if (limit === 0) return this.waitForCircuit(id);
    const what = { webhookId: id, timeoutMs, limit };
    const wanted = this.wantedProbe(id);
    const tasks = wanted ? await this.claim({ ...what, selection: wanted }) : [];
    if (tasks.length === 0)
      tasks.push(...(await this.claim({ ...what, selection: urgent(limit) })));
    if (tasks.length === 0) await this.store.exposeSuspects(id);
    this.worker.submit(tasks);
    return tasks.length > 0 ? MORE : REST;
  }

  /** The delivery that a person wants sent through an open circuit, if that is to be the probe. */
  private wantedProbe(webhookId: string): Selection | undefined {
    const id = this.circuits.requestedProbe(webhookId);
    return id === undefined ? undefined : { kind: 'these', ids: [id] };
  }

  /** Its circuit wants a probe, and there is nothing yet that could be one; undefined: go on. */
  private async lackOfProbe(webhookId: string, inOrder: boolean): Promise<PullResult | undefined> {
    if (!this.circuits.needsProbe(webhookId)) return undefined;
    const [first] = inOrder
      ? (await this.store.headsInOrder(webhookId, 1)).heads
      : await this.store.headsByPriority(webhookId, 1, 0);
    if (!first) return REST;
    return first.readyInMs > 0 ? { kind: 'wait', ms: first.readyInMs } : undefined;
  }

  private waitForCircuit(webhookId: string): PullResult {
    const ms = this.circuits.nextAdmissionMs(webhookId);
    return Number.isFinite(ms) ? { kind: 'wait', ms: Math.max(ms, MIN_WAIT_MS) } : REST;
  }

  private async pullForLane(webhook: RegisteredWebhook, lane: WebhookLease): Promise<PullResult> {
    const { id, batch, ordering, rateLimit } = webhook;
    const { failureCount } = lane;
    const clear = await this.clear(webhook, lane);
    if (clear) return clear;
    if (!lane.isFlowing || (batch && lane.outstanding > 0)) return BUSY;
    const room = Math.min(this.worker.freeCapacityOf(id), isSerial(webhook) ? MAX_RUN : MAX_PULL);
    if (room <= 0) return BUSY;
    const nowMs = performance.now();
    const free = rateLimit ? lane.window.free(rateLimit, nowMs) : room;
    if (rateLimit && free === 0) {
      const atMs = lane.window.nextFreeMs(rateLimit, nowMs);
      return atMs === undefined ? BUSY : { kind: 'wait', ms: atMs - nowMs };
    }
    const lack = await this.lackOfProbe(id, ordering === 'fifo');
    if (lack) return lack;
    const limit = await this.circuits.admit(id, Math.min(room, free));
    if (limit === 0) return this.waitForCircuit(id);
    if (batch) return this.pullBatch(webhook, lane);
    if (ordering === 'fifo')
      return this.pullInOrder(webhook, lane, { limit, breaks: failureCount });
    return this.pullUnordered(webhook, lane, limit);
  }

  /** What an earlier holder has out, or had when it died, has to end first: its leases say when. */
  private async clear(
    webhook: RegisteredWebhook,
    lane: WebhookLease,
  ): Promise<PullResult | undefined> {
    if (lane.isClear || (!isSerial(webhook) && webhook.maxConcurrency === null)) return undefined;
    if (lane.outstanding > 0) return BUSY;
    const { count, untilMs } = await this.store.out(webhook.id);
    if (count > 0) {
      return { kind: 'wait', ms: Math.min(Math.max(untilMs, MIN_WAIT_MS), MAX_WAIT_FOR_OTHERS_MS) };
    }
    lane.isClear = true;
    return undefined;
  }

  private async pullUnordered(
    { id, timeoutMs }: RegisteredWebhook,
    lane: WebhookLease,
    limit: number,
  ): Promise<PullResult> {
    const what = { webhookId: id, timeoutMs, limit, selection: urgent(limit) };
    const wanted = this.wantedProbe(id);
    const tasks = wanted
      ? await this.claimForLane({ ...what, selection: wanted }, lane, 'each')
      : [];
    if (tasks.length === 0) tasks.push(...(await this.claimForLane(what, lane, 'each')));
    if (tasks.length === 0 && lane.outstanding === 0) {
      const suspect = { ...what, limit: 1, quarantined: true, selection: urgent(1) };
      tasks.push(...(await this.claimForLane(suspect, lane, 'each')));
    }
    this.worker.submit(tasks);
    return tasks.length > 0 ? MORE : REST;
  }

  private async pullInOrder(
    webhook: RegisteredWebhook,
    lane: WebhookLease,
    { limit, breaks }: { limit: number; breaks: number },
  ): Promise<PullResult> {
    const heads = await this.store.headsInOrder(webhook.id, limit);
    if (heads.heads.length === 0) return REST;
    const run = nextInOrder(heads.heads, this.firstOwed(webhook, heads.undispatched));
    if (run.kind === 'wait') return { kind: 'wait', ms: run.ms };
    if (run.isSuspect && lane.outstanding > 0) return BUSY;
    // What was out when these were read has failed since: it waits before them, and is not among them.
    if (lane.failureCount !== breaks) return MORE;
    const { count, upToEvent, isSuspect } = run;
    const what = { webhookId: webhook.id, timeoutMs: webhook.timeoutMs, limit: count };
    const selection: Selection = { kind: 'inOrder', upToEvent };
    const tasks = await this.claimForLane(
      { ...what, selection, quarantined: isSuspect },
      lane,
      'run',
    );
    // Their order is that of their events, whatever their priority.
    for (const task of tasks) task.priority = 1;
    this.worker.submit(tasks);
    return MORE;
  }

  private async pullBatch(webhook: RegisteredWebhook, lane: WebhookLease): Promise<PullResult> {
    const { id, timeoutMs } = webhook;
    const sendable = await this.sendableInBatch(webhook);
    if (!Array.isArray(sendable)) return sendable;
    const next = nextBatch(sendable, webhook.batch!);
    if (next.kind === 'wait') return { kind: 'wait', ms: Math.max(next.ms, 1) };
    const suspects = sendable[0]!.lostLeases >= QUARANTINE_AFTER;
    const batchId = next.kind === 'again' ? next.batchId : newId('bat');
    const members: Pick<Claim, 'limit' | 'selection' | 'isUnbatched'> =
      next.kind === 'again'
        ? { limit: MAX_PULL, selection: { kind: 'ofBatch', batchId } }
        : {
            limit: next.count,
            selection: this.inBatch(webhook, sendable.slice(0, next.count)),
            isUnbatched: true,
          };
    const limit = suspects ? 1 : members.limit;
    const tasks = await this.claimForLane(
      { ...members, webhookId: id, batchId, limit, quarantined: suspects, timeoutMs },
      lane,
      'batch',
    );
    const [leader, ...followers] = tasks;
    if (!leader) return { kind: 'wait', ms: MIN_WAIT_MS };
    leader.source = { ...leader.source, batch: { id: batchId, followers } };
    this.worker.submit([leader]);
    return BUSY;
  }

  /** What may be in the next batch of a webhook, what belongs into it first in front. */
  private async sendableInBatch(webhook: RegisteredWebhook): Promise<QueueHead[] | PullResult> {
    const { id, ordering } = webhook;
    const { maxEvents } = webhook.batch!;
    if (ordering !== 'fifo') {
      const aged = agedCount(maxEvents, Math.random());
      const heads = await this.store.headsByPriority(id, maxEvents, aged, true);
      return heads.length === 0 ? REST : heads;
    }
    const { heads, undispatched } = await this.store.headsInOrder(id, maxEvents, true);
    if (heads.length === 0) return REST;
    const run = nextInOrder(heads, this.firstOwed(webhook, undispatched));
    return run.kind === 'wait' ? { kind: 'wait', ms: run.ms } : heads.slice(0, run.count);
  }

  /** Exactly these; in order also none that has come to stand between them since. */
  private inBatch({ id, ordering }: RegisteredWebhook, heads: readonly QueueHead[]): Selection {
    return ordering === 'fifo'
      ? { kind: 'inOrder', upToEvent: heads.at(-1)!.eventId }
      : { kind: 'these', ids: heads.map(({ eventId }) => deliveryId(eventId, id)) };
  }

  /** The first event that belongs before what is in line, and is not there yet. */
  private firstOwed(
    { id }: RegisteredWebhook,
    undispatched: readonly UndispatchedEvent[],
  ): string | undefined {
    return undispatched.find(
      ({ isPending, ownerId, type }) =>
        isPending || this.registry.match(ownerId, type).some((webhook) => webhook.id === id),
    )?.eventId;
  }

  private async claimForLane(
    what: Claim,
    lane: WebhookLease,
    kind: PermitKind,
  ): Promise<PulledTask[]> {
    const nowMs = performance.now();
    const pass = lane.permit(what.limit, kind);
    try {
      const tasks = await this.claim(what, pass, {
        holder: this.lanes.nodeId,
        state: lane.window.state(nowMs),
      });
      pass.unused(what.limit - tasks.length);
      if (tasks.length > 0) lane.idleSinceMs = performance.now();
      return tasks;
    } catch (error) {
      // It may have been done all the same; then the leases have to end.
      pass.unused(what.limit);
      lane.isClear = false;
      throw error;
    }
  }

  private async claim(
    what: Claim,
    permit?: SendPermit,
    webhookLease?: PullLease,
  ): Promise<PulledTask[]> {
    const lease = this.tokens.lease(what.timeoutMs);
    const pulled = await this.store.pull(
      { ...what, token: lease.token, leaseMs: lease.ms },
      webhookLease,
    );
    const source = { kind: 'deferred', permit, batch: undefined } as const;
    return pulled.map((delivery) => taskOf<PulledTask['source']>(delivery, lease, source));
  }
}

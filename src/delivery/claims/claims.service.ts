import { Injectable } from '@nestjs/common';
import { RealtimePublisher } from '../../realtime/realtime.publisher.js';
import { WebhookCache } from '../../webhooks/webhook-cache.service.js';
import { deliveryId } from '../delivery-id.js';
import { type DeliveryTask, type EventToDeliver, groupOf } from '../sending/task.js';
import { type ClaimedDelivery, DueDeliveriesStore } from './due.store.js';
import { DeferredDeliveriesStore } from '../deferred/deferred.store.js';
import { firstAttempts } from '../sending/first-attempts.js';
import { LEASE_MARGIN_MS, MAX_WAIT_MS, POISON_AFTER, QUARANTINE_AFTER } from './lease.js';
import { LeaseTokens } from './lease-tokens.service.js';
import { type ClaimedEvent, OutboxStore } from './outbox.store.js';

interface Lease {
  token: string;
  ms: number;
  endsMs: number;
}

/** A due delivery whose event retention has dropped cannot be sent; it is reported for the history. */
export interface Claims {
  tasks: DeliveryTask[];
  /** Rows that were claimed, for the caller to see whether there may be more. */
  rows: number;
}

/** Takes rows that are owed under a lease of this process, and makes tasks of them. */
@Injectable()
export class ClaimsService {
  constructor(
    private readonly outbox: OutboxStore,
    private readonly due: DueDeliveriesStore,
    private readonly held: DeferredDeliveriesStore,
    private readonly registry: WebhookCache,
    private readonly realtime: RealtimePublisher,
    private readonly tokens: LeaseTokens,
  ) {}

  /** Events that the queue has handed over; those that somebody else has taken are left out. */
  async handedOver(eventIds: readonly string[]): Promise<Claims> {
    const lease = this.newLease();
    return this.tasksOf(await this.outbox.claim(eventIds, lease.token, lease.ms), lease);
  }

  /** Events that are overdue: the queue lost them, a worker died with them, or nobody had room. */
  async dueEvents(limit: number): Promise<Claims> {
    const lease = this.newLease();
    return this.tasksOf(await this.outbox.claimDue(limit, lease.token, lease.ms), lease);
  }

  /** Retries and redrives whose time has come, and deliveries whose worker died. */
  async dueDeliveries(limit: number): Promise<Claims> {
    const lease = this.newLease();
    const claimed = await this.due.claim(limit, lease.token, lease.ms);
    if (claimed.some(({ webhookId }) => !this.registry.get(webhookId)))
      await this.registry.refresh();
    const events = new Map<string, EventToDeliver>();
    const tasks = claimed.map((delivery) => laterAttempt(delivery, events, lease));
    return { tasks, rows: claimed.length };
  }

  /**
   * One of those that workers have died with, to be tried alone: if this worker dies, too, it was
   * that one, and the others of the batch were innocent.
   */
  async quarantined(): Promise<DeliveryTask | undefined> {
    const lease = this.newLease();
    const claimed = await this.due.claimQuarantined(lease.token, lease.ms);
    return claimed && laterAttempt(claimed, new Map(), lease);
  }

  /** Gives back what was claimed and not attempted. */
  async release(tasks: readonly DeliveryTask[]): Promise<void> {
    const groups = new Set(tasks.flatMap((task) => groupOf(task) ?? []));
    if (groups.size > 0) await this.outbox.release([...groups]);
    const due = tasks.filter(({ source }) => source.kind === 'due');
    if (due.length > 0) await this.due.release(due.map(leased));
    await this.held.release(tasks.filter(({ source }) => source.kind === 'deferred').map(leased));
  }

  private async tasksOf(claimed: ClaimedEvent[], lease: Lease): Promise<Claims> {
    await this.matchUnmatched(claimed);
    const done = await this.alreadyDone(claimed);
    const tasks: DeliveryTask[] = [];
    const suspects: DeliveryTask[] = [];
    const finished: string[] = [];
    for (const event of claimed) {
      const own = firstAttempts(toDeliver(event), event.webhookIds ?? [], lease, done);
      if (own.length === 0) finished.push(event.id);
      for (const task of own) (event.lostLeases < QUARANTINE_AFTER ? tasks : suspects).push(task);
    }
    if (suspects.length > 0) await this.outbox.split(suspects, lease.token);
    if (finished.length > 0) await this.outbox.forget(finished, lease.token);
    return { tasks, rows: claimed.length };
  }

  /**
   * Events of a caller's own transaction are matched here, where its commit is known, and told to
   * the sockets here. Webhooks that are not known yet were registered a moment ago elsewhere.
   */
  private async matchUnmatched(claimed: ClaimedEvent[]): Promise<void> {
    const unmatched = claimed.filter(({ webhookIds }) => webhookIds === null);
    const isNews = claimed.some((e) => e.webhookIds?.some((id) => !this.registry.get(id)));
    if (unmatched.length > 0 || isNews) await this.registry.refresh();
    for (const event of unmatched) {
      event.webhookIds = this.registry.match(event.ownerId, event.type).map(({ id }) => id);
    }
    this.realtime.publish([...unmatched]);
  }

  private async alreadyDone(claimed: ClaimedEvent[]): Promise<Set<string>> {
    const taken = claimed.filter(({ wasTaken }) => wasTaken);
    return this.outbox.existing(
      taken.flatMap(({ id, webhookIds }) => (webhookIds ?? []).map((w) => deliveryId(id, w))),
    );
  }

  private newLease(): Lease {
    const ms = this.registry.longestTimeoutMs + MAX_WAIT_MS + LEASE_MARGIN_MS;
    return { token: this.tokens.next(), ms, endsMs: performance.now() + ms };
  }
}

const DUE = { kind: 'due' } as const;

const leased = (task: DeliveryTask): { id: string; token: string } => ({
  id: task.deliveryId,
  token: task.token,
});

const toDeliver = ({ id, type, body, priority, expiresAtMs }: ClaimedEvent): EventToDeliver => ({
  id,
  type,
  body: Buffer.from(body),
  priority,
  expiresAtMs,
});

/** @param events those seen in this claim: deliveries of one event share its bytes */
function laterAttempt(
  delivery: ClaimedDelivery,
  events: Map<string, EventToDeliver>,
  lease: Lease,
): DeliveryTask {
  const event = events.get(delivery.eventId) ?? {
    id: delivery.eventId,
    type: delivery.type,
    body: Buffer.from(delivery.body ?? ''),
    priority: delivery.priority,
    expiresAtMs: delivery.body === null ? 0 : delivery.expiresAtMs,
  };
  events.set(delivery.eventId, event);
  return {
    deliveryId: delivery.id,
    event,
    webhookId: delivery.webhookId,
    priority: event.priority,
    attempt: delivery.attempts + 1,
    budgetStart: delivery.budgetStart,
    token: lease.token,
    leaseEndsMs: lease.endsMs,
    isPoison: delivery.lostLeases >= POISON_AFTER,
    source: DUE,
  };
}

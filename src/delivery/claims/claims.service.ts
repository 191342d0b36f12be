import { Inject, Injectable } from '@nestjs/common';
import { TIMINGS, type Timings } from '../../config/timings.js';
import { RealtimePublisher } from '../../realtime/realtime.publisher.js';
import { WebhookCache } from '../../webhooks/webhook-cache.service.js';
import { deliveryId } from '../delivery-id.js';
import { type Lease, pauseAfterMs } from '../leases/lease.js';
import { LeaseTokens } from '../leases/lease-tokens.service.js';
import { type DeliveryTask, type EventToDeliver, firstAttempts, groupOf } from '../sending/task.js';
import { eventOf, taskOf } from './claimed-delivery.js';
import { DueDeliveriesStore } from './due.store.js';
import { type ClaimedEvent, OutboxStore } from './outbox.store.js';

export interface Claims {
  tasks: DeliveryTask[];
  /** Rows that were claimed: as many as the limit means that there may be more. */
  rows: number;
  /** Whether some of them are due now as other rows. */
  areSplit?: boolean;
}

/** Claims pending rows under a lease of this process, and makes tasks of them. */
@Injectable()
export class ClaimsService {
  constructor(
    private readonly outbox: OutboxStore,
    private readonly due: DueDeliveriesStore,
    private readonly webhooks: WebhookCache,
    private readonly realtime: RealtimePublisher,
    private readonly leases: LeaseTokens,
    @Inject(TIMINGS) private readonly timings: Pick<Timings, 'interruptedPauseMs'>,
  ) {}

  /** Events that the queue has handed over, without those that another worker has claimed. */
  async handedOver(eventIds: readonly string[]): Promise<Claims> {
    const lease = this.newLease();
    return this.tasksOf(await this.outbox.claim(eventIds, lease.token, lease.ms), lease);
  }

  /** Events that the queue lost, whose lease was lost, or for which no worker had capacity. */
  async dueEvents(limit: number): Promise<Claims> {
    const lease = this.newLease();
    return this.tasksOf(await this.outbox.claimDue(limit, lease.token, lease.ms), lease);
  }

  /** Retries and redrives whose time has come, and deliveries whose lease was lost. */
  async dueDeliveries(limit: number): Promise<Claims> {
    const lease = this.newLease();
    const claimed = await this.due.claim(limit, lease.token, lease.ms);
    if (claimed.some(({ webhookId }) => !this.webhooks.get(webhookId)))
      await this.webhooks.refresh();
    const events = new Map<string, EventToDeliver>();
    const tasks = claimed.map((delivery) => {
      const event = events.get(delivery.eventId) ?? eventOf(delivery);
      events.set(delivery.eventId, event);
      const task = taskOf(delivery, lease, DUE, event);
      if (delivery.isLost) {
        task.pauseMs = pauseAfterMs(delivery.lostLeases, this.timings.interruptedPauseMs);
      }
      return task;
    });
    return { tasks, rows: claimed.length };
  }

  /** Releases the leases of tasks that were claimed here and not attempted. */
  async release(tasks: readonly DeliveryTask[]): Promise<void> {
    const groups = new Set(tasks.flatMap((task) => groupOf(task) ?? []));
    if (groups.size > 0) await this.outbox.release([...groups]);
    const due = tasks.filter(({ source }) => source.kind === 'due');
    if (due.length === 0) return;
    await this.due.release(due.map(({ deliveryId: id, token }) => ({ id, token })));
  }

  private async tasksOf(claimed: ClaimedEvent[], lease: Lease): Promise<Claims> {
    await this.matchUnmatched(claimed);
    const recorded = await this.alreadyRecorded(claimed);
    const tasks: DeliveryTask[] = [];
    const lost: DeliveryTask[] = [];
    const finished: string[] = [];
    for (const event of claimed) {
      const attempts = firstAttempts(toDeliver(event), event.webhookIds ?? [], lease, recorded);
      if (attempts.length === 0) finished.push(event.id);
      const list = event.lostLeases === 0 ? tasks : lost;
      for (const task of attempts) list.push(task);
    }
    if (lost.length > 0) await this.outbox.split(lost, lease.token);
    if (finished.length > 0) await this.outbox.forget(finished, lease.token);
    return { tasks, rows: claimed.length, areSplit: lost.length > 0 };
  }

  /**
   * Events of a caller's own transaction are matched here, where their commit is known, and sent to
   * live connections. A webhook that is not in the cache was registered on another node just now.
   */
  private async matchUnmatched(claimed: ClaimedEvent[]): Promise<void> {
    const unmatched = claimed.filter(({ webhookIds }) => webhookIds === null);
    const isUnknown = (webhookId: string) => !this.webhooks.get(webhookId);
    const mustRefresh = unmatched.length > 0 || claimed.some((e) => e.webhookIds?.some(isUnknown));
    if (mustRefresh) await this.webhooks.refresh();
    for (const event of unmatched) {
      event.webhookIds = this.webhooks.match(event.ownerId, event.type).map(({ id }) => id);
    }
    this.realtime.publish([...unmatched]);
  }

  /** Deliveries of these events whose first outcome an earlier lease has written. */
  private async alreadyRecorded(claimed: ClaimedEvent[]): Promise<Set<string>> {
    const again = claimed.filter(({ wasTaken }) => wasTaken);
    return this.outbox.existing(
      again.flatMap(({ id, webhookIds }) => (webhookIds ?? []).map((w) => deliveryId(id, w))),
    );
  }

  private newLease(): Lease {
    return this.leases.lease(this.webhooks.longestTimeoutMs);
  }
}

const DUE = { kind: 'due' } as const;

const toDeliver = ({
  id,
  ownerId,
  type,
  body,
  priority,
  expiresAtMs,
}: ClaimedEvent): EventToDeliver => ({
  id,
  ownerId,
  type,
  body: Buffer.from(body),
  priority,
  expiresAtMs,
});

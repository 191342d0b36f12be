import { Inject, Injectable, Optional } from '@nestjs/common';
import { TIMINGS, type Timings } from '../../config/timings.js';
import type { RegisteredWebhook } from '../../webhooks/registered-webhook.js';
import { LeaseTokens } from '../leases/lease-tokens.service.js';
import { type EventToDeliver, firstAttempts } from '../sending/task.js';
import { DeliveryWorker } from '../sending/worker.service.js';
import { DeliveryQueue } from './delivery.queue.js';

/**
 * Which worker makes the first attempts of a batch, decided before its commit because the outbox rows
 * depend on it: that of this process at once (it leases the rows), or one that the queue reaches.
 */
export type Handover =
  | { kind: 'direct'; token: string; leaseMs: number; leaseEndsMs: number }
  | { kind: 'queue'; token: null; leaseMs: number };

/** An event after its commit, with the webhooks that matched in it. */
export interface CommittedEvent {
  event: EventToDeliver;
  webhookIds: readonly string[];
}

/** Hands over committed events: to the worker of this process if it has capacity, else to the queue. */
@Injectable()
export class DeliveryDispatcher {
  constructor(
    private readonly queue: DeliveryQueue,
    private readonly leases: LeaseTokens,
    @Inject(TIMINGS) private readonly timings: Timings,
    /** Of this process, if it has the role. */
    @Optional() private readonly worker: DeliveryWorker | undefined,
  ) {}

  /** Decides for a batch, before it is committed. */
  handover(webhooksPerEvent: readonly (readonly RegisteredWebhook[])[]): Handover {
    let deliveries = 0;
    let timeoutMs = 0;
    for (const webhooks of webhooksPerEvent) {
      deliveries += webhooks.length;
      for (const webhook of webhooks) timeoutMs = Math.max(timeoutMs, webhook.timeoutMs);
    }
    if (!this.worker || this.worker.freeCapacity < deliveries) {
      return { kind: 'queue', token: null, leaseMs: this.timings.handoverGraceMs };
    }
    const { token, ms, endsMs } = this.leases.lease(timeoutMs);
    return { kind: 'direct', token, leaseMs: ms, leaseEndsMs: endsMs };
  }

  /** After the commit. Never waits and never fails: what is lost is found by its outbox rows. */
  dispatch(events: readonly CommittedEvent[], handover: Handover): void {
    if (handover.kind === 'queue') {
      this.queue.enqueue(events.map(({ event }) => event.id));
      return;
    }
    const lease = { token: handover.token, endsMs: handover.leaseEndsMs };
    for (const { event, webhookIds } of events) {
      this.worker?.submit(firstAttempts(event, webhookIds, lease));
    }
  }
}

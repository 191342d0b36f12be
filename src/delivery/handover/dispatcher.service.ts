import { Injectable, Optional } from '@nestjs/common';
import type { RegisteredWebhook } from '../../webhooks/registered-webhook.js';
import { DeliveryQueue } from './delivery.queue.js';
import type { EventToDeliver } from '../sending/task.js';
import { DeliveryWorker } from '../sending/worker.service.js';
import { firstAttempts } from '../sending/first-attempts.js';
import { LEASE_MARGIN_MS, MAX_WAIT_MS } from '../claims/lease.js';
import { LeaseTokens } from '../claims/lease-tokens.service.js';

/** How long the queue has to get an event to a worker before the sweepers take it themselves. */
const QUEUE_GRACE_MS = 3_000;

/**
 * Who will make the first attempts of a batch, decided before its commit because the outbox rows
 * say so: this process at once (they carry its lease), or whoever takes them from the queue.
 */
export type Handover =
  | { kind: 'direct'; token: string; leaseMs: number; leaseEndsMs: number }
  | { kind: 'queue'; token: null; leaseMs: number };

/** An event after its commit, with the webhooks that matched in it. */
export interface CommittedEvent {
  event: EventToDeliver;
  webhookIds: readonly string[];
}

/** Sends committed events on their way: to the worker beside it if there is one with room, else queued. */
@Injectable()
export class DeliveryDispatcher {
  constructor(
    private readonly queue: DeliveryQueue,
    private readonly tokens: LeaseTokens,
    /** Of this process, if it plays that role. */
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
      return { kind: 'queue', token: null, leaseMs: QUEUE_GRACE_MS };
    }
    const leaseMs = timeoutMs + MAX_WAIT_MS + LEASE_MARGIN_MS;
    // Counted from before the statement: our clock must never give the lease longer than the row does.
    const leaseEndsMs = performance.now() + leaseMs;
    return { kind: 'direct', token: this.tokens.next(), leaseMs, leaseEndsMs };
  }

  /** After the commit. Never waits and never fails: the outbox rows are there. */
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

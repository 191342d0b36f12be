import type { Lease } from '../leases/lease.js';
import type { DeliveryTask, EventToDeliver, TaskSource } from '../sending/task.js';

/** A delivery that this process has claimed, with its event. */
export interface ClaimedDelivery {
  id: string;
  webhookId: string;
  attempts: number;
  budgetStart: number;
  /** Attempts before its batch. */
  batchStart: number;
  /** Leases in a row that were lost with its attempt. */
  lostLeases: number;
  /** Its lease was lost: this claim has found it. */
  isLost: boolean;
  eventId: string;
  /** Of the event; null: it is public. */
  ownerId: string | null;
  type: string;
  /** Null: retention has dropped the event; there is nothing left to send. */
  body: string | null;
  priority: number;
  expiresAtMs: number | undefined;
}

/** The row that a statement returns for it. */
export interface ClaimedDeliveryRow {
  id: string;
  webhook_id: string;
  attempts: number;
  budget_start: number;
  batch_start?: number | null;
  lost_leases: number;
  is_lost?: boolean;
  event_id: string;
  event_type: string;
  owner_id: string | null;
  body: string | null;
  priority: number | null;
  expires_at: Date | null;
}

export const toClaimedDelivery = (row: ClaimedDeliveryRow): ClaimedDelivery => ({
  id: row.id,
  webhookId: row.webhook_id,
  attempts: row.attempts,
  budgetStart: row.budget_start,
  batchStart: row.batch_start ?? 0,
  lostLeases: row.lost_leases,
  isLost: row.is_lost ?? false,
  eventId: row.event_id,
  ownerId: row.owner_id,
  type: row.event_type,
  body: row.body,
  priority: row.priority ?? 1,
  expiresAtMs: row.expires_at?.getTime(),
});

/** Without a body it counts as expired. */
export const eventOf = (delivery: ClaimedDelivery): EventToDeliver => ({
  id: delivery.eventId,
  ownerId: delivery.ownerId,
  type: delivery.type,
  body: Buffer.from(delivery.body ?? ''),
  priority: delivery.priority,
  expiresAtMs: delivery.body === null ? 0 : delivery.expiresAtMs,
});

/**
 * The attempt that a claimed delivery is for.
 * @param event deliveries of one event share it
 */
export const taskOf = <Source extends TaskSource>(
  delivery: ClaimedDelivery,
  lease: Lease,
  source: Source,
  event = eventOf(delivery),
): DeliveryTask & { source: Source } => ({
  deliveryId: delivery.id,
  event,
  webhookId: delivery.webhookId,
  priority: event.priority,
  attempt: delivery.attempts + 1,
  budgetStart: delivery.budgetStart,
  token: lease.token,
  leaseEndsMs: lease.endsMs,
  lostLeases: delivery.lostLeases,
  pauseMs: 0,
  source,
});

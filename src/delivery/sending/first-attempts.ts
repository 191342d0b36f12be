import { deliveryId } from '../delivery-id.js';
import type { DeliveryTask, EventGroup, EventToDeliver } from './task.js';

/**
 * The first attempts of an event, one per webhook, as one group under one lease.
 *
 * @param isDone deliveries to leave out, because an earlier owner wrote their outcome
 */
export function firstAttempts(
  event: EventToDeliver,
  webhookIds: readonly string[],
  lease: { token: string; endsMs: number },
  isDone?: ReadonlySet<string>,
): DeliveryTask[] {
  const group: EventGroup = {
    eventId: event.id,
    eventType: event.type,
    priority: event.priority,
    token: lease.token,
    total: 0,
    recorded: 0,
  };
  const source = { kind: 'outbox' as const, group };
  const tasks: DeliveryTask[] = [];
  for (const webhookId of webhookIds) {
    const id = deliveryId(event.id, webhookId);
    if (isDone?.has(id)) continue;
    tasks.push({
      deliveryId: id,
      event,
      webhookId,
      priority: event.priority,
      attempt: 1,
      budgetStart: 0,
      token: lease.token,
      leaseEndsMs: lease.endsMs,
      isPoison: false,
      source,
    });
  }
  group.total = tasks.length;
  return tasks;
}

import { Injectable } from '@nestjs/common';
import type { Actor } from '../../auth/principal.js';
import { AppError, NotFoundError } from '../../shared/app-error.js';
import type { DeliveryStatus } from '../../shared/delivery-status.js';
import { Circuits } from '../circuit/circuits.service.js';
import { type DeliveryResponse, toDeliveryResponse } from './deliveries.dto.js';
import { DeliveriesStore, type RequeueObstacles } from './deliveries.store.js';
import { DeliveryAccess } from './delivery-access.service.js';

/** Sends one delivery again at the request of a user. */
@Injectable()
export class RedriveService {
  constructor(
    private readonly store: DeliveriesStore,
    private readonly access: DeliveryAccess,
    private readonly circuits: Circuits,
  ) {}

  /**
   * Sends a delivery again now, with a new budget of attempts.
   * @param only what it has to be for that
   */
  async redrive(
    id: string,
    principal: Actor,
    only?: { webhookId?: string; status?: DeliveryStatus },
  ): Promise<DeliveryResponse> {
    const delivery = await this.access.delivery(id, principal);
    if (only?.webhookId !== undefined && delivery.webhookId !== only.webhookId) {
      throw new NotFoundError('delivery', id);
    }
    if (!(await this.store.requeue(delivery, only?.status, principal))) {
      const obstacles = await this.store.obstacles(id);
      throw obstacles ? refusal(obstacles, only?.status) : new NotFoundError('delivery', id);
    }
    await this.circuits.probeNow(delivery.webhookId, id);
    return toDeliveryResponse(await this.access.delivery(id, principal));
  }
}

const conflict = (code: string, detail: string): AppError => new AppError('conflict', code, detail);

function refusal(
  { status, isDeleted, disabledReason, isDropped, isExpired }: RequeueObstacles,
  wanted: DeliveryStatus | undefined,
): AppError {
  if (wanted !== undefined && status !== wanted) {
    return conflict('not_a_dead_letter', `The delivery is ${status}.`);
  }
  if (isDeleted) return conflict('webhook_deleted', 'Its webhook was deleted.');
  if (disabledReason !== null) {
    const detail = `Its webhook is disabled (${disabledReason}): activate it first.`;
    return conflict('webhook_disabled', detail);
  }
  if (isDropped) return conflict('event_dropped', 'Its event is not kept any more.');
  if (isExpired) return conflict('event_expired', 'The time to live of its event is over.');
  return conflict('delivery_in_progress', 'An attempt is in flight.');
}

import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { DataSource } from 'typeorm';
import type { Principal } from '../../auth/principal.js';
import { AppError, NotFoundError } from '../../shared/app-error.js';
import type { DeliveryStatus } from '../../shared/delivery-status.js';
import { CHANNELS } from '../../database/notification.listener.js';
import { REQUEUE_SET, STILL_SENDABLE, STILL_SERVED } from '../bulk/requeue.js';
import { Circuits } from '../circuit/circuits.service.js';
import { type DeliveryResponse, toDeliveryResponse } from './deliveries.dto.js';
import { DeliveryAccess } from './delivery-access.service.js';

/** In one statement, so that of several requests and a worker one wins and the others see it. */
const REDRIVE = `
  UPDATE deliveries d SET ${REQUEUE_SET}
    FROM webhooks w, events e
   WHERE d.id = $1 AND d.status <> 'delivering' AND ($2::text IS NULL OR d.status = $2)
     AND w.id = d.webhook_id AND ${STILL_SERVED}
     AND e.id = d.event_id AND ${STILL_SENDABLE}`;

/** Why that has changed nothing. */
const OBSTACLES = `
  SELECT d.status, w.deleted_at IS NOT NULL AS "isDeleted", w.disabled_reason AS "disabledReason",
         e.id IS NULL AS "isDropped", e.expires_at <= now() AS "isExpired"
    FROM deliveries d JOIN webhooks w ON w.id = d.webhook_id LEFT JOIN events e ON e.id = d.event_id
   WHERE d.id = $1`;

interface Obstacles {
  status: DeliveryStatus;
  isDeleted: boolean;
  disabledReason: string | null;
  /** By retention. */
  isDropped: boolean;
  isExpired: boolean | null;
}

/** Sends one delivery again when an operator asks for it. */
@Injectable()
export class RedriveService {
  constructor(
    @InjectDataSource() private readonly dataSource: DataSource,
    private readonly access: DeliveryAccess,
    private readonly circuits: Circuits,
  ) {}

  /**
   * Sends a delivery again now, with a new budget of attempts.
   * @param only what it has to be for that
   */
  async redrive(
    id: string,
    principal: Principal,
    only?: { webhookId?: string; status?: DeliveryStatus },
  ): Promise<DeliveryResponse> {
    const delivery = await this.access.delivery(id, principal);
    if (only?.webhookId !== undefined && delivery.webhookId !== only.webhookId) {
      throw new NotFoundError('delivery', id);
    }
    const values = [id, only?.status ?? null];
    const [, changed] = await this.dataSource.query<[unknown, number]>(REDRIVE, values);
    if (changed === 0) throw await this.refusal(id, only?.status);
    await this.dataSource.query(`SELECT pg_notify('${CHANNELS.due}', '')`);
    await this.circuits.probeNow(delivery.webhookId, id);
    return toDeliveryResponse(await this.access.delivery(id, principal));
  }

  private async refusal(id: string, wanted: DeliveryStatus | undefined): Promise<AppError> {
    const [found] = await this.dataSource.query<Obstacles[]>(OBSTACLES, [id]);
    return found ? refusal(found, wanted) : new NotFoundError('delivery', id);
  }
}

const conflict = (code: string, detail: string): AppError => new AppError('conflict', code, detail);

function refusal(
  { status, isDeleted, disabledReason, isDropped, isExpired }: Obstacles,
  wanted: DeliveryStatus | undefined,
): AppError {
  if (wanted !== undefined && status !== wanted) {
    return conflict('not_a_dead_letter', `The delivery is ${status}.`);
  }
  if (isDeleted) return conflict('webhook_deleted', 'Its webhook was deleted.');
  if (disabledReason !== null) {
    return conflict(
      'webhook_disabled',
      `Its webhook was switched off (${disabledReason}): switch it on first.`,
    );
  }
  if (isDropped) return conflict('event_dropped', 'Its event is not kept any more.');
  if (isExpired) return conflict('event_expired', 'The time to live of its event is over.');
  return conflict('delivery_in_progress', 'An attempt is being made right now.');
}

import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { DataSource } from 'typeorm';
import type { Principal } from '../../auth/principal.js';
import { AppError, NotFoundError } from '../../common/app-error.js';
import type { DeliveryStatus } from '../../common/delivery-status.js';
import { CHANNELS } from '../../database/notification.listener.js';
import { OWED_AGAIN } from '../operations/owed-again.js';
import { Circuits } from '../worker/circuits.service.js';
import { type DeliveryResponse, toDeliveryResponse } from './deliveries.dto.js';
import { DeliveryAccess } from './delivery-access.service.js';

/** In one statement, so that of several requests and a worker one wins and the others see it. */
const REDRIVE = `
  UPDATE deliveries d SET ${OWED_AGAIN}
    FROM webhooks w, events e
   WHERE d.id = $1 AND w.id = d.webhook_id AND e.id = d.event_id AND d.status <> 'delivering'`;

const EVENT_EXISTS = `SELECT 1 FROM events WHERE id = $1`;

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
    if (only?.status !== undefined && delivery.status !== only.status) {
      throw new AppError('conflict', 'not_a_dead_letter', `The delivery is ${delivery.status}.`);
    }
    const [, changed] = await this.dataSource.query<[unknown, number]>(REDRIVE, [id]);
    if (changed === 0) throw await this.refusal(delivery.eventId);
    await this.dataSource.query(`SELECT pg_notify('${CHANNELS.due}', '')`);
    await this.circuits.probeNow(delivery.webhookId);
    return toDeliveryResponse(await this.access.delivery(id, principal));
  }

  private async refusal(eventId: string): Promise<AppError> {
    const events = await this.dataSource.query<unknown[]>(EVENT_EXISTS, [eventId]);
    return events.length === 0
      ? new AppError('conflict', 'event_dropped', 'Its event is not kept any more.')
      : new AppError('conflict', 'delivery_in_progress', 'An attempt is being made right now.');
  }
}

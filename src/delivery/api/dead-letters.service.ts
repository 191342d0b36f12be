import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { Repository } from 'typeorm';
import { canSubscribe, type Principal } from '../../auth/principal.js';
import { NotFoundError } from '../../shared/app-error.js';
import { DeliveryEntity } from '../../database/entities/delivery.entity.js';
import { EventEntity } from '../../database/entities/event.entity.js';
import type { DeadLetterDetail } from './deliveries.dto.js';
import { DeliveriesService } from './deliveries.service.js';
import { DeliveryAccess } from './delivery-access.service.js';

/** Dead letters one by one: to look at, and to let go. */
@Injectable()
export class DeadLettersService {
  constructor(
    @InjectRepository(DeliveryEntity) private readonly rows: Repository<DeliveryEntity>,
    @InjectRepository(EventEntity) private readonly events: Repository<EventEntity>,
    private readonly deliveries: DeliveriesService,
    private readonly access: DeliveryAccess,
  ) {}

  /** With its attempts and what would be sent. */
  async get(id: string, principal: Principal): Promise<DeadLetterDetail> {
    const { status, eventId } = await this.access.delivery(id, principal, 'dead letter');
    if (status !== 'dead_letter') throw new NotFoundError('dead letter', id);
    const event = await this.events.findOneBy({ id: eventId });
    const isReadable = event !== null && canSubscribe(principal, event.type);
    return {
      ...(await this.deliveries.get(id, principal)),
      event: isReadable ? (JSON.parse(event.body) as DeadLetterDetail['event']) : null,
    };
  }

  /**
   * Gives it up for good: it is canceled, so that no redrive finds it, and stays in the history with
   * the reason why it died. In one statement, because a redrive may come at the same moment.
   */
  async delete(id: string, principal: Principal): Promise<void> {
    await this.access.delivery(id, principal, 'dead letter');
    const { affected } = await this.rows.update(
      { id, status: 'dead_letter' },
      { status: 'canceled', completedAt: () => 'now()' },
    );
    if (affected === 0) throw new NotFoundError('dead letter', id);
  }
}

import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { In, Repository } from 'typeorm';
import {
  canSubscribe,
  ownerListed,
  ownerScope,
  type Principal,
  viewerOf,
} from '../../auth/principal.js';
import { NotFoundError } from '../../shared/app-error.js';
import { isId } from '../../shared/ids.js';
import { maySee, owns } from '../../shared/visibility.js';
import type { OwnerFilter } from '../../shared/zod-fields.js';
import { DeliveryEntity } from '../../database/entities/delivery.entity.js';
import { EventEntity } from '../../database/entities/event.entity.js';
import { WebhookEntity } from '../../database/entities/webhook.entity.js';

/**
 * Which deliveries a caller may see: those to its own webhooks, deleted ones included, of events that
 * it may receive; an admin or operator those of all owners. To any other caller they look as if they
 * did not exist.
 */
@Injectable()
export class DeliveryAccess {
  constructor(
    @InjectRepository(DeliveryEntity) private readonly deliveries: Repository<DeliveryEntity>,
    @InjectRepository(EventEntity) private readonly events: Repository<EventEntity>,
    @InjectRepository(WebhookEntity) private readonly webhooks: Repository<WebhookEntity>,
  ) {}

  /**
   * The owner whose webhooks are meant; undefined: those of all owners.
   * @param named an owner that an admin narrows to
   * @throws InvalidInputError when a caller that is no admin names another owner than its own
   */
  owner(principal: Principal, named: OwnerFilter): string | undefined {
    return ownerListed(principal, 'deliveries:read', named);
  }

  /** Ids of the webhooks that the caller may see, or of this one only; undefined: all. */
  async webhookIds(
    principal: Principal,
    { webhookId, ...named }: OwnerFilter & { webhookId?: string } = {},
  ): Promise<ReadonlySet<string> | undefined> {
    const ownerId = this.owner(principal, named);
    if (ownerId === undefined) return webhookId === undefined ? undefined : new Set([webhookId]);
    const rows = await this.webhooks.find({
      select: { id: true },
      where: webhookId === undefined ? { ownerId } : { ownerId, id: webhookId },
    });
    return new Set(rows.map(({ id }) => id));
  }

  /** @throws NotFoundError unless the caller may see the webhook, which may be a deleted one */
  async webhook(id: string, principal: Principal): Promise<WebhookEntity> {
    const webhook = isId('wh', id) ? await this.webhooks.findOneBy({ id }) : null;
    const viewer = ownerScope(principal, 'deliveries:read') ?? null;
    if (!webhook || !owns(viewer, webhook.ownerId)) {
      throw new NotFoundError('webhook', id);
    }
    return webhook;
  }

  /** @throws NotFoundError naming the first that the caller may not see */
  async webhooksExist(ids: readonly string[], principal: Principal): Promise<void> {
    const ownerId = ownerScope(principal, 'deliveries:read');
    const rows = await this.webhooks.find({
      select: { id: true },
      where: { id: In(ids), ...(ownerId === undefined ? {} : { ownerId }) },
    });
    const found = new Set(rows.map(({ id }) => id));
    for (const id of ids) if (!found.has(id)) throw new NotFoundError('webhook', id);
  }

  /** @throws NotFoundError unless the caller may read the event, which retention may have dropped */
  async event(id: string, principal: Principal): Promise<EventEntity> {
    const event = isId('evt', id) ? await this.events.findOneBy({ id }) : null;
    if (!event || !maySee(viewerOf(principal), event)) throw new NotFoundError('event', id);
    return event;
  }

  /** @throws NotFoundError unless the caller may see it */
  async delivery(id: string, principal: Principal, what = 'delivery'): Promise<DeliveryEntity> {
    const delivery = await this.findDelivery(id, principal);
    if (!delivery) throw new NotFoundError(what, id);
    return delivery;
  }

  /** {@link delivery}, and null instead of an error. */
  async findDelivery(id: string, principal: Principal): Promise<DeliveryEntity | null> {
    const delivery = isId('dlv', id) ? await this.deliveries.findOneBy({ id }) : null;
    return delivery && (await this.maySeeDelivery(delivery, principal)) ? delivery : null;
  }

  /** Whether the caller may see the webhook that the delivery belongs to, and receive its event. */
  async maySeeDelivery(
    { webhookId, eventType }: Pick<DeliveryEntity, 'webhookId' | 'eventType'>,
    principal: Principal,
  ): Promise<boolean> {
    if (!canSubscribe(principal, eventType)) return false;
    return (await this.webhookIds(principal, { webhookId }))?.has(webhookId) ?? true;
  }
}

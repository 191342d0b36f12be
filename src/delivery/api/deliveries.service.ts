import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { Repository, type SelectQueryBuilder } from 'typeorm';
import type { Principal } from '../../auth/principal.js';
import { NotFoundError } from '../../shared/app-error.js';
import type { DeliveryStatus } from '../../shared/delivery-status.js';
import { matchesSql } from '../../shared/event-pattern.js';
import { firstSuffixAt, isId, timePart } from '../../shared/ids.js';
import { decodeCursor, type Page, page } from '../../shared/pagination.js';
import { DeliveryAttemptEntity } from '../../database/entities/delivery-attempt.entity.js';
import { DeliveryEntity } from '../../database/entities/delivery.entity.js';
import {
  allAttempts,
  type DeliveryDetail,
  type DeliveryResponse,
  toDeliveryResponse,
} from './deliveries.dto.js';
import { DeliveryAccess } from './delivery-access.service.js';
import { PendingDeliveriesStore } from './pending-deliveries.store.js';

const MAX_ATTEMPTS_SHOWN = 100;

/** What a list can be narrowed by; every list of deliveries takes the same. */
export interface DeliveryFilter {
  webhookId?: string;
  /** Owner of the webhooks, for an admin. */
  ownerId?: string;
  status?: DeliveryStatus;
  type?: string;
  since?: Date;
  until?: Date;
  /** Error class of the last attempt. */
  reason?: string;
  limit: number;
  cursor?: string;
}

/** Reads deliveries for the owners of their webhooks. */
@Injectable()
export class DeliveriesService {
  constructor(
    @InjectRepository(DeliveryEntity) private readonly deliveries: Repository<DeliveryEntity>,
    @InjectRepository(DeliveryAttemptEntity)
    private readonly attempts: Repository<DeliveryAttemptEntity>,
    private readonly access: DeliveryAccess,
    private readonly owed: PendingDeliveriesStore,
  ) {}

  /** Newest first, over the caller's webhooks, deleted ones included. */
  async list(filter: DeliveryFilter, principal: Principal): Promise<Page<DeliveryResponse>> {
    const webhookIds = await this.access.webhookIds(principal, filter);
    const cursor = filter.cursor === undefined ? undefined : decodeCursor(filter.cursor);
    // In this order: what is owed becomes a row, so one that changes between the two reads stands in
    // both, where the row is the later truth; the other way round it would stand in neither.
    const owed = await this.owedIn(filter, webhookIds, cursor);
    const rows = await this.rows(filter, webhookIds, cursor);
    const merged = new Map([...owed, ...rows].map((delivery) => [delivery.id, delivery]));
    return page([...merged.values()].sort(newestFirst).slice(0, filter.limit + 1), filter.limit);
  }

  async listOfWebhook(
    webhookId: string,
    filter: DeliveryFilter,
    principal: Principal,
  ): Promise<Page<DeliveryResponse>> {
    await this.access.webhook(webhookId, principal);
    return this.list({ ...filter, webhookId }, principal);
  }

  /** Everybody that an event is owed to, or was delivered to, as far as the caller may see. */
  async ofEvent(eventId: string, principal: Principal): Promise<DeliveryResponse[]> {
    await this.access.event(eventId, principal);
    const webhookIds = await this.access.webhookIds(principal);
    // The ids of an event's deliveries hold its millisecond: a short range of the primary key.
    const from = `dlv_${timePart(eventId)}`;
    const query = this.deliveries
      .createQueryBuilder('d')
      .where('d.id >= :from AND d.id < :to', { from, to: `${from}~` })
      .andWhere('d.event_id = :eventId', { eventId });
    // In this order for the same reason as in list().
    const owed = await this.owed.ofEvent(eventId);
    const rows = (await query.getMany()).map(toDeliveryResponse);
    const merged = new Map([...owed, ...rows].map((delivery) => [delivery.id, delivery]));
    return [...merged.values()].filter((d) => webhookIds?.has(d.webhookId) ?? true);
  }

  /** @throws NotFoundError unless the caller may see the webhook that it belongs to */
  async get(id: string, principal: Principal): Promise<DeliveryDetail> {
    // In this order for the same reason as in list().
    const owed = isId('dlv', id) ? await this.owed.find(id) : undefined;
    const delivery = await this.access.findDelivery(id, principal);
    if (!delivery) {
      if (owed && (await this.access.mayKnow(owed, principal))) return { ...owed, attempts: [] };
      throw new NotFoundError('delivery', id);
    }
    const earlier = await this.attempts.find({
      where: { deliveryId: id },
      order: { startedAt: 'DESC' },
      take: MAX_ATTEMPTS_SHOWN - 1,
    });
    return { ...toDeliveryResponse(delivery), attempts: allAttempts(delivery, earlier) };
  }

  private async rows(
    filter: DeliveryFilter,
    webhookIds: ReadonlySet<string> | undefined,
    cursor: string | undefined,
  ): Promise<DeliveryResponse[]> {
    if (webhookIds?.size === 0) return [];
    const query = this.deliveries.createQueryBuilder('d').orderBy('d.id', 'DESC');
    query.limit(filter.limit + 1);
    if (webhookIds) query.andWhere('d.webhook_id = ANY(:ids)', { ids: [...webhookIds] });
    if (cursor !== undefined) query.andWhere('d.id < :cursor', { cursor });
    const { status, reason } = filter;
    if (status) query.andWhere('d.status = :status', { status });
    if (reason) query.andWhere('d.last_error = :reason', { reason });
    whereAccepted(query, filter);
    if (filter.type !== undefined) {
      query.andWhere(matchesSql(':type', 'd.event_type'), { type: filter.type });
    }
    return (await query.getMany()).map(toDeliveryResponse);
  }

  private async owedIn(
    filter: DeliveryFilter,
    webhookIds: ReadonlySet<string> | undefined,
    cursor: string | undefined,
  ): Promise<DeliveryResponse[]> {
    const { status, since, until, type, limit } = filter;
    const isOwed = status === undefined || status === 'pending' || status === 'delivering';
    if (filter.reason !== undefined || !isOwed) return [];
    const owed = await this.owed.ofWebhooks(webhookIds, {
      cursorTime: cursor && `evt_${timePart(cursor)}`,
      from: since && firstEventAt(since),
      before: until && firstEventAt(until),
      type,
      isTaken: status && status === 'delivering',
      limit: limit + 1,
    });
    // The cursor's own millisecond came whole.
    return owed.filter((delivery) => cursor === undefined || delivery.id < cursor);
  }
}

const firstEventAt = (time: Date): string => `evt_${firstSuffixAt(time.getTime())}`;

const newestFirst = (a: DeliveryResponse, b: DeliveryResponse): number => (a.id < b.id ? 1 : -1);

/** By id, which holds the time at which the event was accepted, so that an index serves it. */
function whereAccepted(
  query: SelectQueryBuilder<DeliveryEntity>,
  { since, until }: Pick<DeliveryFilter, 'since' | 'until'>,
): void {
  if (since) query.andWhere('d.id >= :since', { since: `dlv_${firstSuffixAt(since.getTime())}` });
  if (until) query.andWhere('d.id < :until', { until: `dlv_${firstSuffixAt(until.getTime())}` });
}

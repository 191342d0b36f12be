import { Injectable } from '@nestjs/common';
import type { Actor, Principal } from '../../auth/principal.js';
import { NotFoundError } from '../../shared/app-error.js';
import type { DeliveryStatus } from '../../shared/delivery-status.js';
import { firstSuffixAt, isId, timePart } from '../../shared/ids.js';
import { decodeCursor, type Page, page } from '../../shared/pagination.js';
import type { OwnerFilter } from '../../shared/zod-fields.js';
import type { DeliveryEntity } from '../../database/entities/delivery.entity.js';
import {
  allAttempts,
  type DeadLetterDetail,
  type DeliveryDetail,
  type DeliveryList,
  type DeliveryResponse,
  toDeliveryResponse,
  toPendingResponse,
} from './deliveries.dto.js';
import { DeliveriesStore, type DeliverySelection } from './deliveries.store.js';
import { DeliveryAccess } from './delivery-access.service.js';
import { type PendingDelivery, PendingDeliveriesStore } from './pending-deliveries.store.js';

const MAX_ATTEMPTS_SHOWN = 100;

/** What a list can be narrowed by; every list of deliveries takes the same. */
export interface DeliveryFilter
  extends OwnerFilter, Omit<DeliverySelection, 'webhookIds' | 'topics' | 'beforeId'> {
  webhookId?: string;
  cursor?: string;
}

/**
 * Deliveries, for the owners of their webhooks. A delivery gets its row with its first outcome; before
 * that it follows from the outbox row of its event. Every read asks the outbox first: a delivery that
 * gets its row in between is then in both, and in the other order it would be in neither.
 */
@Injectable()
export class DeliveriesService {
  constructor(
    private readonly store: DeliveriesStore,
    private readonly pending: PendingDeliveriesStore,
    private readonly access: DeliveryAccess,
  ) {}

  /** Newest first, over the caller's webhooks, deleted ones included. */
  async list(filter: DeliveryFilter, principal: Principal): Promise<Page<DeliveryResponse>> {
    const { cursor, limit } = filter;
    const webhookIds = await this.access.webhookIds(principal, filter);
    const beforeId = cursor === undefined ? undefined : decodeCursor(cursor);
    const { topics } = principal;
    const selection = { ...filter, webhookIds, topics, beforeId, limit: limit + 1 };
    const pending = await this.listPending(selection);
    const deliveries = merged(pending, await this.store.list(selection));
    return page(deliveries.sort(newestFirst).slice(0, limit + 1), limit);
  }

  async listOfWebhook(
    webhookId: string,
    filter: DeliveryFilter,
    principal: Principal,
  ): Promise<Page<DeliveryResponse>> {
    await this.access.webhook(webhookId, principal);
    return this.list({ ...filter, webhookId }, principal);
  }

  /** To all webhooks that the event matched, as far as the caller may see them. */
  async ofEvent(eventId: string, filter: OwnerFilter, principal: Principal): Promise<DeliveryList> {
    await this.access.event(eventId, principal);
    const webhookIds = await this.access.webhookIds(principal, filter);
    const pending = await this.pending.ofEvent(eventId);
    const deliveries = merged(pending, await this.store.ofEvent(eventId));
    return { data: deliveries.filter((d) => webhookIds?.has(d.webhookId) ?? true) };
  }

  /** @throws NotFoundError unless the caller may see it */
  async get(id: string, principal: Principal): Promise<DeliveryDetail> {
    const pending = isId('dlv', id) ? await this.pending.find(id) : undefined;
    const delivery = await this.access.findDelivery(id, principal);
    if (delivery) return this.withAttempts(delivery);
    if (!pending || !(await this.access.maySeeDelivery(pending, principal))) {
      throw new NotFoundError('delivery', id);
    }
    return { ...toPendingResponse(pending), attempts: [] };
  }

  /** With its attempts and the event that would be sent. */
  async getDeadLetter(id: string, principal: Principal): Promise<DeadLetterDetail> {
    const delivery = await this.access.delivery(id, principal, 'dead letter');
    if (delivery.status !== 'dead_letter') throw new NotFoundError('dead letter', id);
    const event = await this.store.event(delivery.eventId);
    return {
      ...(await this.withAttempts(delivery)),
      event: event && (JSON.parse(event.body) as DeadLetterDetail['event']),
    };
  }

  /** Cancels it, so that no redrive finds it. It stays in the history, with its last error. */
  async deleteDeadLetter(id: string, principal: Actor): Promise<void> {
    await this.access.delivery(id, principal, 'dead letter');
    if (!(await this.store.cancelDeadLetter(id, principal)))
      throw new NotFoundError('dead letter', id);
  }

  private async withAttempts(delivery: DeliveryEntity): Promise<DeliveryDetail> {
    const earlier = await this.store.attemptsOf(delivery.id, MAX_ATTEMPTS_SHOWN - 1);
    return { ...toDeliveryResponse(delivery), attempts: allAttempts(delivery, earlier) };
  }

  private async listPending(selection: DeliverySelection): Promise<PendingDelivery[]> {
    const { webhookIds, topics, status, since, until, type, reason, beforeId, limit } = selection;
    if (reason !== undefined || !MAY_BE_WITHOUT_ROW.has(status)) return [];
    const pending = await this.pending.ofWebhooks(webhookIds, {
      cursorTime: beforeId && `evt_${timePart(beforeId)}`,
      from: since && firstEventAt(since),
      before: until && firstEventAt(until),
      type,
      topics,
      isLeased: status && status === 'delivering',
      limit,
    });
    // The store returns the whole millisecond of the cursor.
    return pending.filter(({ id }) => beforeId === undefined || id < beforeId);
  }
}

const MAY_BE_WITHOUT_ROW: ReadonlySet<DeliveryStatus | undefined> = new Set([
  undefined,
  'pending',
  'delivering',
]);

/** The row of a delivery that is in both is the later state. */
function merged(
  pending: readonly PendingDelivery[],
  rows: readonly DeliveryEntity[],
): DeliveryResponse[] {
  const all = [...pending.map(toPendingResponse), ...rows.map(toDeliveryResponse)];
  return [...new Map(all.map((delivery) => [delivery.id, delivery])).values()];
}

const firstEventAt = (time: Date): string => `evt_${firstSuffixAt(time.getTime())}`;

const newestFirst = (a: DeliveryResponse, b: DeliveryResponse): number => (a.id < b.id ? 1 : -1);

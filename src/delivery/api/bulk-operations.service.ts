import { createHash } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { type Actor, canSubscribe, ownerScope, type Principal } from '../../auth/principal.js';
import { AppError, InvalidInputError, NotFoundError } from '../../shared/app-error.js';
import { attributionOf } from '../../shared/attribution.js';
import { changesOf, given } from '../../shared/audit.js';
import { isId, newId } from '../../shared/ids.js';
import { decodeCursor, type Page, page } from '../../shared/pagination.js';
import { CONFIG } from '../../config/config.module.js';
import type { Config } from '../../config/env.js';
import { AuditLogStore } from '../../database/audit-log.store.js';
import type {
  BulkOperationEntity,
  BulkOperationKind,
} from '../../database/entities/bulk-operation.entity.js';
import { DeliveryAccess } from './delivery-access.service.js';
import {
  type OperationResponse,
  type OperationsQuery,
  type RedriveMany,
  type ReplayEvent,
  type ReplayWebhook,
  toOperationResponse,
} from './bulk-operations.dto.js';
import {
  BulkOperationsStore,
  MAX_COUNT,
  type NewOperation,
} from '../bulk/bulk-operations.store.js';
import { sliceSize } from '../bulk/throttle.js';

/** Who asks, and under which idempotency key, if any. */
export interface Caller {
  principal: Actor;
  key: string | undefined;
}

/** A request for an operation. */
interface Asked {
  kind: BulkOperationKind;
  request: object;
  /** The owner whose deliveries it is about; null: it may be those of several. */
  ownerId: string | null;
}

/**
 * Redrives and replays of many deliveries. A request selects and counts them; the workers requeue
 * them afterwards, as fast as the receivers answer.
 */
@Injectable()
export class BulkOperationsService {
  private readonly sliceSize: number;

  constructor(
    private readonly store: BulkOperationsStore,
    private readonly access: DeliveryAccess,
    private readonly audit: AuditLogStore,
    @Inject(CONFIG) config: Config,
  ) {
    this.sliceSize = sliceSize(config.delivery.redriveMaxOpen);
  }

  /** Dead letters, by id or by filter. */
  async redrive(request: RedriveMany, caller: Caller): Promise<OperationResponse> {
    const { principal } = caller;
    const { all: _, ownerId: namedOwner, ids, ...filter } = request;
    const ownerId = this.access.owner(principal, { ownerId: namedOwner });
    const webhook =
      filter.webhookId === undefined
        ? undefined
        : await this.access.webhook(filter.webhookId, principal);
    if (ids) await this.requireAll(ids, principal);
    const of = webhook ? webhook.ownerId : (ownerId ?? null);
    return this.accept({ kind: 'redrive', request, ownerId: of }, caller, (tx, operation) =>
      this.store.redrive(tx, operation, { ...filter, ids, ownerId, topics: principal.topics }),
    );
  }

  /** Past events of a range of time, to one webhook. */
  async replayWebhook(
    webhookId: string,
    request: ReplayWebhook,
    caller: Caller,
  ): Promise<OperationResponse> {
    const { topics } = caller.principal;
    const webhook = await this.access.webhook(webhookId, caller.principal);
    if (webhook.deletedAt !== null) throw new NotFoundError('webhook', webhookId);
    if (webhook.disabledReason !== null) {
      throw new AppError(
        'conflict',
        'webhook_disabled',
        `The webhook is disabled (${webhook.disabledReason}): activate it first.`,
      );
    }
    const asked: Asked = {
      kind: 'webhook_replay',
      request: { webhookId, ...request },
      ownerId: webhook.ownerId,
    };
    return this.accept(asked, caller, (tx, operation) =>
      this.store.replayRange(tx, operation, { webhookId, ...request, topics }, webhook.events),
    );
  }

  /** One past event, to the caller's webhooks that match it now or had it. */
  async replayEvent(
    eventId: string,
    { webhookIds }: ReplayEvent,
    caller: Caller,
  ): Promise<OperationResponse> {
    const { principal } = caller;
    const event = await this.access.event(eventId, principal);
    if (webhookIds) await this.access.webhooksExist(webhookIds, principal);
    const ownerId = ownerScope(principal, 'deliveries:act');
    const asked: Asked = {
      kind: 'event_replay',
      request: { eventId, webhookIds },
      ownerId: ownerId ?? null,
    };
    return this.accept(asked, caller, (tx, operation) =>
      this.store.replayEvent(tx, operation, { event, ownerId, webhookIds }),
    );
  }

  async get(id: string, principal: Principal): Promise<OperationResponse> {
    return toOperationResponse(await this.find(id, principal));
  }

  /** Newest first. */
  async list(query: OperationsQuery, principal: Principal): Promise<Page<OperationResponse>> {
    const { status, cursor, limit } = query;
    const ownerId = this.access.owner(principal, query);
    const beforeId = cursor === undefined ? undefined : decodeCursor(cursor);
    const rows = await this.store.list({ ownerId, status, beforeId }, limit + 1);
    return page(rows.map(toOperationResponse), limit);
  }

  /** Leaves what is not requeued yet as it is. An operation that has ended does not change. */
  async cancel(id: string, principal: Actor): Promise<void> {
    const { ownerId } = await this.find(id, principal);
    const changes = changesOf({ status: 'running' }, { status: 'canceled' });
    await this.store.cancel(id, (tx) =>
      this.audit.record(tx, principal, {
        action: 'operation.canceled',
        resourceId: id,
        ownerId,
        changes,
      }),
    );
  }

  private async find(id: string, principal: Principal): Promise<BulkOperationEntity> {
    const ownerId = ownerScope(principal, 'deliveries:read');
    const operation = isId('op', id) ? await this.store.find(id, ownerId) : null;
    if (!operation) throw new NotFoundError('operation', id);
    return operation;
  }

  private async accept(
    asked: Asked,
    { principal, key }: Caller,
    select: (tx: EntityManager, operation: NewOperation) => Promise<BulkOperationEntity | null>,
  ): Promise<OperationResponse> {
    const { kind, request } = asked;
    const requestHash = createHash('sha256')
      .update(JSON.stringify({ kind, request }))
      .digest('hex');
    const operation: NewOperation = {
      id: newId('op'),
      kind,
      requestedBy: attributionOf(principal),
      idempotencyKey: key ?? null,
      requestHash,
      sliceSize: this.sliceSize,
    };
    return this.store.exclusively(async (tx) => {
      const earlier = await this.earlier(tx, operation);
      if (earlier) return toOperationResponse(earlier);
      const accepted = await select(tx, operation);
      if (accepted) {
        await this.recordStart(tx, principal, asked, accepted);
        return toOperationResponse(accepted);
      }
      throw InvalidInputError.at(
        kind === 'redrive' ? 'all' : 'since',
        `selects more than ${MAX_COUNT} deliveries: narrow the range of time`,
      );
    });
  }

  private recordStart(
    tx: EntityManager,
    actor: Actor,
    { request, ownerId }: Asked,
    { id, kind, count }: BulkOperationEntity,
  ): Promise<void> {
    const changes = given({ kind, count, ...request });
    return this.audit.record(tx, actor, {
      action: 'operation.started',
      resourceId: id,
      ownerId,
      changes,
    });
  }

  private async earlier(
    tx: EntityManager,
    { requestedBy, idempotencyKey, requestHash }: NewOperation,
  ): Promise<BulkOperationEntity | null> {
    if (idempotencyKey === null) return null;
    const earlier = await this.store.findByKey(tx, requestedBy.ownerId, idempotencyKey);
    if (earlier && earlier.requestHash !== requestHash) {
      throw new AppError(
        'conflict',
        'idempotency_key_reused',
        'This Idempotency-Key was used for another request.',
        [{ field: 'Idempotency-Key', message: 'was used for another request' }],
      );
    }
    return earlier;
  }

  /** @throws AppError with the ids that name no delivery that the caller may see */
  private async requireAll(ids: readonly string[], principal: Principal): Promise<void> {
    const visible = await this.access.webhookIds(principal);
    const rows = await this.store.deliveries(ids);
    const found = new Set(
      rows
        .filter(({ eventType }) => canSubscribe(principal, eventType))
        .filter(({ webhookId }) => visible?.has(webhookId) ?? true)
        .map(({ id }) => id),
    );
    const errors = ids.flatMap((id, index) =>
      found.has(id) ? [] : [{ field: `ids[${index}]`, message: 'names no dead letter' }],
    );
    if (errors.length > 0) {
      throw new AppError(
        'not_found',
        'dead_letter_not_found',
        `${errors[0]!.field} names no dead letter; nothing was redriven.`,
        errors,
      );
    }
  }
}

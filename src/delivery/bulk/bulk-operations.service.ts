import { createHash } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { type EntityManager, In, LessThan, Repository } from 'typeorm';
import { ownerScope, type Principal } from '../../auth/principal.js';
import { AppError, InvalidInputError, NotFoundError } from '../../shared/app-error.js';
import { isId, newId } from '../../shared/ids.js';
import { decodeCursor, type Page, page } from '../../shared/pagination.js';
import { CONFIG } from '../../config/config.module.js';
import type { Config } from '../../config/env.js';
import {
  BulkOperationEntity,
  type BulkOperationKind,
} from '../../database/entities/bulk-operation.entity.js';
import { DeliveryEntity } from '../../database/entities/delivery.entity.js';
import { DeliveryAccess } from '../api/delivery-access.service.js';
import {
  type OperationResponse,
  type OperationsQuery,
  type RedriveMany,
  type ReplayEvent,
  type ReplayWebhook,
  toOperationResponse,
} from '../api/bulk-operations.dto.js';
import { BulkOperationsStore, MAX_COUNT, type NewOperation } from './bulk-operations.store.js';
import { sliceSize } from './throttle.js';

/** Who asks, and perhaps a key under which the same request is one operation. */
export interface Caller {
  principal: Principal;
  key: string | undefined;
}

/**
 * Redrives and replays of many deliveries. What is asked for is fixed and counted before the answer;
 * the workers do it afterwards, as fast as the webhooks take it.
 */
@Injectable()
export class BulkOperationsService {
  private readonly sliceSize: number;

  constructor(
    @InjectRepository(BulkOperationEntity)
    private readonly operations: Repository<BulkOperationEntity>,
    private readonly store: BulkOperationsStore,
    private readonly access: DeliveryAccess,
    @Inject(CONFIG) config: Config,
  ) {
    this.sliceSize = sliceSize(config.delivery.redriveMaxOpen);
  }

  /** Dead letters, by id or by filter. */
  async redrive(request: RedriveMany, caller: Caller): Promise<OperationResponse> {
    const { principal } = caller;
    const { all: _, ownerId: named, ids, ...filter } = request;
    const ownerId = this.access.owner(principal, named);
    if (filter.webhookId !== undefined) await this.access.webhook(filter.webhookId, principal);
    if (ids) await this.requireAll(ids, principal);
    return this.accept('redrive', request, caller, (tx, operation) =>
      this.store.redrive(tx, operation, { ...filter, ids, ownerId }),
    );
  }

  /** Past events of a range of time, to one webhook. */
  async replayWebhook(
    webhookId: string,
    request: ReplayWebhook,
    caller: Caller,
  ): Promise<OperationResponse> {
    const webhook = await this.access.webhook(webhookId, caller.principal);
    if (webhook.deletedAt !== null) throw new NotFoundError('webhook', webhookId);
    if (webhook.disabledReason !== null) {
      throw new AppError(
        'conflict',
        'webhook_disabled',
        `The webhook was switched off (${webhook.disabledReason}): switch it on first.`,
      );
    }
    return this.accept('webhook_replay', { webhookId, ...request }, caller, (tx, operation) =>
      this.store.replayRange(tx, operation, { webhookId, ...request }, webhook.events),
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
    const ownerId = ownerScope(principal);
    return this.accept('event_replay', { eventId, webhookIds }, caller, (tx, operation) =>
      this.store.replayEvent(tx, operation, { event, ownerId, webhookIds }),
    );
  }

  async get(id: string, principal: Principal): Promise<OperationResponse> {
    return toOperationResponse(await this.find(id, principal));
  }

  /** Newest first. */
  async list(query: OperationsQuery, principal: Principal): Promise<Page<OperationResponse>> {
    const ownerId = this.access.owner(principal, query.ownerId);
    const rows = await this.operations.find({
      where: {
        ...(ownerId === undefined ? {} : { ownerId }),
        ...(query.status === undefined ? {} : { status: query.status }),
        ...(query.cursor === undefined ? {} : { id: LessThan(decodeCursor(query.cursor)) }),
      },
      order: { id: 'DESC' },
      take: query.limit + 1,
    });
    return page(rows.map(toOperationResponse), query.limit);
  }

  /** Stops it where it is; one that has ended stays as it is. */
  async cancel(id: string, principal: Principal): Promise<void> {
    await this.find(id, principal);
    await this.operations.manager.transaction((tx) => this.store.cancel(tx, id));
  }

  private async find(id: string, principal: Principal): Promise<BulkOperationEntity> {
    const ownerId = ownerScope(principal);
    const operation = isId('op', id)
      ? await this.operations.findOneBy({ id, ...(ownerId === undefined ? {} : { ownerId }) })
      : null;
    if (!operation) throw new NotFoundError('operation', id);
    return operation;
  }

  private async accept(
    kind: BulkOperationKind,
    request: object,
    { principal, key }: Caller,
    choose: (tx: EntityManager, operation: NewOperation) => Promise<BulkOperationEntity | null>,
  ): Promise<OperationResponse> {
    const requestHash = createHash('sha256').update(JSON.stringify({ kind, request }));
    const operation: NewOperation = {
      id: newId('op'),
      kind,
      requestedBy: principal.ownerId,
      idempotencyKey: key ?? null,
      requestHash: requestHash.digest('hex'),
      sliceSize: this.sliceSize,
    };
    return this.operations.manager.transaction(async (tx) => {
      await this.store.lock(tx);
      const earlier = await this.earlier(tx, operation);
      if (earlier) return toOperationResponse(earlier);
      const accepted = await choose(tx, operation);
      if (accepted) return toOperationResponse(accepted);
      throw InvalidInputError.at(
        kind === 'redrive' ? 'all' : 'since',
        `selects more than ${MAX_COUNT} deliveries: narrow the range of time`,
      );
    });
  }

  private async earlier(
    tx: EntityManager,
    { requestedBy, idempotencyKey, requestHash }: NewOperation,
  ): Promise<BulkOperationEntity | null> {
    if (idempotencyKey === null) return null;
    const earlier = await this.store.findByKey(tx, requestedBy, idempotencyKey);
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

  /** Ids that somebody else has, or nobody, are named; nothing is done then. */
  private async requireAll(ids: readonly string[], principal: Principal): Promise<void> {
    const visible = await this.access.webhookIds(principal);
    const rows = await this.operations.manager.find(DeliveryEntity, {
      select: { id: true, webhookId: true },
      where: { id: In(ids) },
    });
    const found = new Set(
      rows.filter(({ webhookId }) => visible?.has(webhookId) ?? true).map(({ id }) => id),
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

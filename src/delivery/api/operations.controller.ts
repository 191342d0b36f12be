import { Body, Delete, Get, Param, Post, Query } from '@nestjs/common';
import { CurrentActor, CurrentPrincipal } from '../../auth/auth.decorators.js';
import type { Actor, Principal } from '../../auth/principal.js';
import { ApiController, ApiIdParam, ApiRoute } from '../../http/api-route.decorator.js';
import { ApiIdempotencyKey, IdempotencyKey } from '../../http/idempotency-key.decorator.js';
import type { Page } from '../../shared/pagination.js';
import { BulkOperationsService } from './bulk-operations.service.js';
import {
  OperationPage,
  OperationResponse,
  OperationsQuery,
  ReplayEvent,
  ReplayWebhook,
} from './bulk-operations.dto.js';

/** Replays of past events, with the same ids and bytes, and the progress of replays and redrives. */
@ApiController('', 'Operations')
export class OperationsController {
  constructor(private readonly operations: BulkOperationsService) {}

  @Get('operations')
  @ApiRoute({
    needs: 'deliveries:read',
    summary: 'List redrives and replays',
    description: 'Those that you have asked for, newest first; kept for 30 days after their end.',
    schema: OperationPage,
    answer: 'A page of operations.',
    problems: [422],
  })
  list(
    @Query({ schema: OperationsQuery }) query: OperationsQuery,
    @CurrentPrincipal() principal: Principal,
  ): Promise<Page<OperationResponse>> {
    return this.operations.list(query, principal);
  }

  @Get('operations/:id')
  @ApiIdParam('op', 'operation')
  @ApiRoute({
    needs: 'deliveries:read',
    summary: 'Read the progress of a redrive or replay',
    description: 'The states of its deliveries are in the history of their webhooks.',
    schema: OperationResponse,
    answer: 'Its progress.',
    problems: [404],
  })
  get(
    @Param('id') id: string,
    @CurrentPrincipal() principal: Principal,
  ): Promise<OperationResponse> {
    return this.operations.get(id, principal);
  }

  @Delete('operations/:id')
  @ApiIdParam('op', 'operation')
  @ApiRoute({
    needs: 'deliveries:act',
    summary: 'Cancel a redrive or replay',
    description:
      'Deliveries that were not requeued yet stay as they are; those that are pending again are ' +
      'sent. An operation that has ended does not change.',
    status: 204,
    answer: 'It has ended.',
    problems: [404],
  })
  cancel(@Param('id') id: string, @CurrentActor() actor: Actor): Promise<void> {
    return this.operations.cancel(id, actor);
  }

  @Post('webhooks/:id/replay')
  @ApiIdParam('wh', 'webhook')
  @ApiRoute({
    needs: 'deliveries:act',
    summary: 'Replay a range of time to a webhook',
    description:
      'Sends past events again, with the same ids and bytes and a new budget of attempts, oldest ' +
      'first, as fast as the receiver answers; `count` is exact. Also events that match the webhook ' +
      'now and have no delivery to it. Not counted: deliveries that are not final, and events that ' +
      'have expired or were dropped by retention.',
    status: 202,
    schema: OperationResponse,
    answer: 'The operation has started.',
    problems: [404, 409],
  })
  @ApiIdempotencyKey('are the same operation.')
  ofWebhook(
    @Param('id') id: string,
    @Body({ schema: ReplayWebhook }) request: ReplayWebhook,
    @CurrentActor() actor: Actor,
    @IdempotencyKey() key: string | undefined,
  ): Promise<OperationResponse> {
    return this.operations.replayWebhook(id, request, { principal: actor, key });
  }

  @Post('events/:id/replay')
  @ApiIdParam('evt', 'event')
  @ApiRoute({
    needs: 'deliveries:act',
    summary: 'Replay an event',
    description:
      'Sends it, with the same id and bytes, to those of your webhooks that match it now, and again ' +
      'to those that had it; `count` is exact. Not counted: deliveries that are not final.',
    status: 202,
    schema: OperationResponse,
    answer: 'The operation has started.',
    problems: [404, 409],
  })
  @ApiIdempotencyKey('are the same operation.')
  ofEvent(
    @Param('id') id: string,
    @Body({ schema: ReplayEvent }) request: ReplayEvent,
    @CurrentActor() actor: Actor,
    @IdempotencyKey() key: string | undefined,
  ): Promise<OperationResponse> {
    return this.operations.replayEvent(id, request, { principal: actor, key });
  }
}

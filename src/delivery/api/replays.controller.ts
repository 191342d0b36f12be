import { Body, Param, Post } from '@nestjs/common';
import { CurrentPrincipal } from '../../auth/current-principal.decorator.js';
import type { Principal } from '../../auth/principal.js';
import { ApiController, ApiIdParam, ApiRoute } from '../../http/api-route.decorator.js';
import { ApiIdempotencyKey, IdempotencyKey } from '../../http/idempotency-key.decorator.js';
import { OperationResponse, ReplayEvent, ReplayWebhook } from './bulk-operations.dto.js';
import { BulkOperationsService } from '../bulk/bulk-operations.service.js';

/** Past events, sent again with the same ids and the same bytes. */
@ApiController('', 'Operations')
export class ReplaysController {
  constructor(private readonly operations: BulkOperationsService) {}

  @Post('webhooks/:id/replay')
  @ApiIdParam('wh', 'webhook')
  @ApiRoute({
    summary: 'Replay a range of time to a webhook',
    description:
      'Sends past events again, with the same ids and bytes and a new budget of attempts, oldest ' +
      'first, as fast as the webhook takes them; `count` is exact. Also events that match it now and ' +
      'were never owed to it. Not counted: what is on its way anyway, and events that have expired ' +
      'or were dropped by retention.',
    status: 202,
    schema: OperationResponse,
    answer: 'Under way.',
    problems: [404, 409],
  })
  @ApiIdempotencyKey('are the same operation.')
  ofWebhook(
    @Param('id') id: string,
    @Body({ schema: ReplayWebhook }) request: ReplayWebhook,
    @CurrentPrincipal() principal: Principal,
    @IdempotencyKey() key: string | undefined,
  ): Promise<OperationResponse> {
    return this.operations.replayWebhook(id, request, { principal, key });
  }

  @Post('events/:id/replay')
  @ApiIdParam('evt', 'event')
  @ApiRoute({
    summary: 'Replay an event',
    description:
      'Sends it, with the same id and bytes, to those of your webhooks that match it now, and again ' +
      'to those that had it; `count` is exact. Not counted: webhooks that it is on its way to anyway.',
    status: 202,
    schema: OperationResponse,
    answer: 'Under way.',
    problems: [404, 409],
  })
  @ApiIdempotencyKey('are the same operation.')
  ofEvent(
    @Param('id') id: string,
    @Body({ schema: ReplayEvent }) request: ReplayEvent,
    @CurrentPrincipal() principal: Principal,
    @IdempotencyKey() key: string | undefined,
  ): Promise<OperationResponse> {
    return this.operations.replayEvent(id, request, { principal, key });
  }
}

import { Body, Controller, HttpCode, Param, Post } from '@nestjs/common';
import {
  ApiAcceptedResponse,
  ApiBearerAuth,
  ApiOperation,
  ApiSecurity,
  ApiTags,
} from '@nestjs/swagger';
import { CurrentPrincipal } from '../../auth/current-principal.decorator.js';
import type { Principal } from '../../auth/principal.js';
import { ApiIdParam } from '../../http/api-id-param.decorator.js';
import { ApiProblems } from '../../http/api-problems.decorator.js';
import { ApiIdempotencyKey, IdempotencyKey } from '../../http/idempotency-key.decorator.js';
import { OperationResponse, ReplayEvent, ReplayWebhook } from './bulk-operations.dto.js';
import { BulkOperationsService } from '../bulk/bulk-operations.service.js';

/** Past events, sent again with the same ids and the same bytes. */
@ApiTags('Operations')
@ApiBearerAuth('jwt')
@ApiSecurity('api-key')
@Controller()
export class ReplaysController {
  constructor(private readonly operations: BulkOperationsService) {}

  @Post('webhooks/:id/replay')
  @ApiIdParam('wh', 'webhook')
  @HttpCode(202)
  @ApiOperation({
    summary: 'Replay a range of time to a webhook',
    description:
      'Sends past events again, with the same ids and bytes and a new budget of attempts, oldest ' +
      'first, as fast as the webhook takes them; `count` is exact. Also events that match it now and ' +
      'were never owed to it. Not counted: what is on its way anyway, and events that have expired ' +
      'or were dropped by retention.',
  })
  @ApiIdempotencyKey('are the same operation.')
  @ApiAcceptedResponse({ standardSchema: OperationResponse, description: 'Under way.' })
  @ApiProblems(404, 409)
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
  @HttpCode(202)
  @ApiOperation({
    summary: 'Replay an event',
    description:
      'Sends it, with the same id and bytes, to those of your webhooks that match it now, and again ' +
      'to those that had it; `count` is exact. Not counted: webhooks that it is on its way to anyway.',
  })
  @ApiIdempotencyKey('are the same operation.')
  @ApiAcceptedResponse({ standardSchema: OperationResponse, description: 'Under way.' })
  @ApiProblems(404, 409)
  ofEvent(
    @Param('id') id: string,
    @Body({ schema: ReplayEvent }) request: ReplayEvent,
    @CurrentPrincipal() principal: Principal,
    @IdempotencyKey() key: string | undefined,
  ): Promise<OperationResponse> {
    return this.operations.replayEvent(id, request, { principal, key });
  }
}

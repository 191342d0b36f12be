import { Body, Controller, Delete, Get, HttpCode, Param, Post, Query } from '@nestjs/common';
import {
  ApiAcceptedResponse,
  ApiBearerAuth,
  ApiNoContentResponse,
  ApiOkResponse,
  ApiOperation,
  ApiSecurity,
  ApiTags,
} from '@nestjs/swagger';
import { CurrentPrincipal } from '../../auth/current-principal.decorator.js';
import type { Principal } from '../../auth/principal.js';
import { ApiIdParam } from '../../http/api-id-param.decorator.js';
import { ApiProblems } from '../../http/api-problems.decorator.js';
import { ApiIdempotencyKey, IdempotencyKey } from '../../http/idempotency-key.decorator.js';
import type { Page } from '../../shared/pagination.js';
import { OperationResponse, RedriveMany } from './bulk-operations.dto.js';
import { BulkOperationsService } from './bulk-operations.service.js';
import {
  DeadLetterDetail,
  DeadLettersQuery,
  DeliveryPage,
  DeliveryResponse,
} from './deliveries.dto.js';
import { DeliveriesService } from './deliveries.service.js';
import { RedriveService } from './redrive.service.js';

/** Dead letters are the deliveries in the state `dead_letter`: there is no second queue of them. */
@ApiTags('Dead letters')
@ApiBearerAuth('jwt')
@ApiSecurity('api-key')
@Controller('dead-letters')
export class DeadLettersController {
  constructor(
    private readonly deliveries: DeliveriesService,
    private readonly redrives: RedriveService,
    private readonly operations: BulkOperationsService,
  ) {}

  @Get()
  @ApiOperation({
    summary: 'List dead letters',
    description: 'Deliveries that have used up their attempts, newest first.',
  })
  @ApiOkResponse({ standardSchema: DeliveryPage, description: 'A page of dead letters.' })
  @ApiProblems(422)
  list(
    @Query({ schema: DeadLettersQuery }) query: DeadLettersQuery,
    @CurrentPrincipal() principal: Principal,
  ): Promise<Page<DeliveryResponse>> {
    return this.deliveries.list({ ...query, status: 'dead_letter' }, principal);
  }

  @Get(':deliveryId')
  @ApiIdParam('dlv', 'dead letter', 'deliveryId')
  @ApiOperation({
    summary: 'Inspect a dead letter',
    description: 'With its attempts, oldest first, and the event that would be sent.',
  })
  @ApiOkResponse({ standardSchema: DeadLetterDetail, description: 'The dead letter.' })
  @ApiProblems(404)
  get(
    @Param('deliveryId') deliveryId: string,
    @CurrentPrincipal() principal: Principal,
  ): Promise<DeadLetterDetail> {
    return this.deliveries.getDeadLetter(deliveryId, principal);
  }

  @Delete(':deliveryId')
  @ApiIdParam('dlv', 'dead letter', 'deliveryId')
  @HttpCode(204)
  @ApiOperation({
    summary: 'Delete a dead letter',
    description:
      'It becomes `canceled`, and no redrive finds it any more. The delivery stays in the history, ' +
      'with its attempts and its last error.',
  })
  @ApiNoContentResponse({ description: 'It is no dead letter any more.' })
  @ApiProblems(404)
  delete(
    @Param('deliveryId') deliveryId: string,
    @CurrentPrincipal() principal: Principal,
  ): Promise<void> {
    return this.deliveries.deleteDeadLetter(deliveryId, principal);
  }

  @Post('redrive')
  @HttpCode(202)
  @ApiOperation({
    summary: 'Redrive many dead letters',
    description:
      'Those that are named, or all that match the filters, at the time of the request; `count` is ' +
      'exact. They are sent again with a new budget of attempts, oldest first, as fast as the ' +
      'receivers answer. Not counted: those of deleted or disabled webhooks, those whose event has ' +
      'expired or was dropped by retention, and those that an earlier operation has selected and ' +
      'not requeued yet, so that the same request twice sends everything once.',
  })
  @ApiIdempotencyKey('are the same operation.')
  @ApiAcceptedResponse({
    standardSchema: OperationResponse,
    description: 'The operation has started.',
  })
  @ApiProblems(404, 409)
  redriveMany(
    @Body({ schema: RedriveMany }) request: RedriveMany,
    @CurrentPrincipal() principal: Principal,
    @IdempotencyKey() key: string | undefined,
  ): Promise<OperationResponse> {
    return this.operations.redrive(request, { principal, key });
  }

  @Post(':deliveryId/redrive')
  @ApiIdParam('dlv', 'dead letter', 'deliveryId')
  @HttpCode(202)
  @ApiOperation({
    summary: 'Redrive a dead letter',
    description:
      'Sends it again now, with a new budget of attempts. Refused with 409 while its webhook is ' +
      'deleted or disabled, and when its event has expired or was dropped by retention.',
  })
  @ApiAcceptedResponse({ standardSchema: DeliveryResponse, description: 'It is due now.' })
  @ApiProblems(404, 409)
  redrive(
    @Param('deliveryId') deliveryId: string,
    @CurrentPrincipal() principal: Principal,
  ): Promise<DeliveryResponse> {
    return this.redrives.redrive(deliveryId, principal, { status: 'dead_letter' });
  }
}

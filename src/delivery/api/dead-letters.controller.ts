import { Body, Delete, Get, Param, Post, Query } from '@nestjs/common';
import { CurrentActor, CurrentPrincipal } from '../../auth/auth.decorators.js';
import type { Actor, Principal } from '../../auth/principal.js';
import { ApiController, ApiIdParam, ApiRoute } from '../../http/api-route.decorator.js';
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
@ApiController('dead-letters', 'Dead letters')
export class DeadLettersController {
  constructor(
    private readonly deliveries: DeliveriesService,
    private readonly redrives: RedriveService,
    private readonly operations: BulkOperationsService,
  ) {}

  @Get()
  @ApiRoute({
    needs: 'deliveries:read',
    summary: 'List dead letters',
    description: 'Deliveries that have used up their attempts, newest first.',
    schema: DeliveryPage,
    answer: 'A page of dead letters.',
    problems: [422],
  })
  list(
    @Query({ schema: DeadLettersQuery }) query: DeadLettersQuery,
    @CurrentPrincipal() principal: Principal,
  ): Promise<Page<DeliveryResponse>> {
    return this.deliveries.list({ ...query, status: 'dead_letter' }, principal);
  }

  @Get(':deliveryId')
  @ApiIdParam('dlv', 'dead letter', 'deliveryId')
  @ApiRoute({
    needs: 'deliveries:read',
    summary: 'Inspect a dead letter',
    description: 'With its attempts, oldest first, and the event that would be sent.',
    schema: DeadLetterDetail,
    answer: 'The dead letter.',
    problems: [404],
  })
  get(
    @Param('deliveryId') deliveryId: string,
    @CurrentPrincipal() principal: Principal,
  ): Promise<DeadLetterDetail> {
    return this.deliveries.getDeadLetter(deliveryId, principal);
  }

  @Delete(':deliveryId')
  @ApiIdParam('dlv', 'dead letter', 'deliveryId')
  @ApiRoute({
    needs: 'deliveries:act',
    summary: 'Delete a dead letter',
    description:
      'It becomes `canceled`, and no redrive finds it any more. The delivery stays in the history, ' +
      'with its attempts and its last error.',
    status: 204,
    answer: 'It is no dead letter any more.',
    problems: [404],
  })
  delete(@Param('deliveryId') deliveryId: string, @CurrentActor() actor: Actor): Promise<void> {
    return this.deliveries.deleteDeadLetter(deliveryId, actor);
  }

  @Post('redrive')
  @ApiRoute({
    needs: 'deliveries:act',
    summary: 'Redrive many dead letters',
    description:
      'Those that are named, or all that match the filters, at the time of the request; `count` is ' +
      'exact. They are sent again with a new budget of attempts, oldest first, as fast as the ' +
      'receivers answer. Not counted: those of deleted or disabled webhooks, those whose event has ' +
      'expired or was dropped by retention, and those that an earlier operation has selected and ' +
      'not requeued yet, so that the same request twice sends everything once.',
    status: 202,
    schema: OperationResponse,
    answer: 'The operation has started.',
    problems: [404, 409],
  })
  @ApiIdempotencyKey('are the same operation.')
  redriveMany(
    @Body({ schema: RedriveMany }) request: RedriveMany,
    @CurrentActor() actor: Actor,
    @IdempotencyKey() key: string | undefined,
  ): Promise<OperationResponse> {
    return this.operations.redrive(request, { principal: actor, key });
  }

  @Post(':deliveryId/redrive')
  @ApiIdParam('dlv', 'dead letter', 'deliveryId')
  @ApiRoute({
    needs: 'deliveries:act',
    summary: 'Redrive a dead letter',
    description:
      'Sends it again now, with a new budget of attempts. Refused with 409 while its webhook is ' +
      'deleted or disabled, and when its event has expired or was dropped by retention.',
    status: 202,
    schema: DeliveryResponse,
    answer: 'It is due now.',
    problems: [404, 409],
  })
  redrive(
    @Param('deliveryId') deliveryId: string,
    @CurrentActor() actor: Actor,
  ): Promise<DeliveryResponse> {
    return this.redrives.redrive(deliveryId, actor, { status: 'dead_letter' });
  }
}

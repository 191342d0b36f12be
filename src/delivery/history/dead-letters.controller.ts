import { Controller, Get, HttpCode, Param, Post, Query } from '@nestjs/common';
import {
  ApiAcceptedResponse,
  ApiBearerAuth,
  ApiOkResponse,
  ApiOperation,
  ApiSecurity,
  ApiTags,
} from '@nestjs/swagger';
import { CurrentPrincipal } from '../../auth/current-principal.decorator.js';
import type { Principal } from '../../auth/principal.js';
import { ApiIdParam } from '../../common/api-id-param.decorator.js';
import { ApiProblems } from '../../common/api-problems.decorator.js';
import type { Page } from '../../common/pagination.js';
import { DeadLettersQuery, DeliveryPage, DeliveryResponse } from './deliveries.dto.js';
import { DeliveriesService } from './deliveries.service.js';

/** Dead letters are the deliveries in the state `dead_letter`: there is no second queue of them. */
@ApiTags('Dead letters')
@ApiBearerAuth('jwt')
@ApiSecurity('api-key')
@Controller('dead-letters')
export class DeadLettersController {
  constructor(private readonly deliveries: DeliveriesService) {}

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

  @Post(':deliveryId/redrive')
  @ApiIdParam('dlv', 'dead letter', 'deliveryId')
  @HttpCode(202)
  @ApiOperation({
    summary: 'Redrive a dead letter',
    description: 'Sends it again now, with a new budget of attempts.',
  })
  @ApiAcceptedResponse({ standardSchema: DeliveryResponse, description: 'It is due now.' })
  @ApiProblems(404, 409)
  redrive(
    @Param('deliveryId') deliveryId: string,
    @CurrentPrincipal() principal: Principal,
  ): Promise<DeliveryResponse> {
    return this.deliveries.redrive(deliveryId, principal, { status: 'dead_letter' });
  }
}

import { Delete, Get, Param, Query } from '@nestjs/common';
import { CurrentPrincipal } from '../../auth/current-principal.decorator.js';
import type { Principal } from '../../auth/principal.js';
import { ApiController, ApiIdParam, ApiRoute } from '../../http/api-route.decorator.js';
import type { Page } from '../../shared/pagination.js';
import { OperationPage, OperationResponse, OperationsQuery } from './bulk-operations.dto.js';
import { BulkOperationsService } from '../bulk/bulk-operations.service.js';

/** How redrives and replays of many deliveries are getting on. */
@ApiController('operations', 'Operations')
export class OperationsController {
  constructor(private readonly operations: BulkOperationsService) {}

  @Get()
  @ApiRoute({
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

  @Get(':id')
  @ApiIdParam('op', 'operation')
  @ApiRoute({
    summary: 'Read the progress of a redrive or replay',
    description: 'What became of its deliveries is in the history of their webhooks.',
    schema: OperationResponse,
    answer: 'As far as it has come.',
    problems: [404],
  })
  get(
    @Param('id') id: string,
    @CurrentPrincipal() principal: Principal,
  ): Promise<OperationResponse> {
    return this.operations.get(id, principal);
  }

  @Delete(':id')
  @ApiIdParam('op', 'operation')
  @ApiRoute({
    summary: 'Cancel a redrive or replay',
    description:
      'What has not had its turn stays as it is; what is owed again already is sent. One that has ' +
      'ended stays as it is, too.',
    status: 204,
    answer: 'It does nothing more.',
    problems: [404],
  })
  cancel(@Param('id') id: string, @CurrentPrincipal() principal: Principal): Promise<void> {
    return this.operations.cancel(id, principal);
  }
}

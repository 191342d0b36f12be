import { Controller, Delete, Get, HttpCode, Param, Query } from '@nestjs/common';
import {
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
import type { Page } from '../../shared/pagination.js';
import { OperationPage, OperationResponse, OperationsQuery } from './bulk-operations.dto.js';
import { BulkOperationsService } from '../bulk/bulk-operations.service.js';

/** How redrives and replays of many deliveries are getting on. */
@ApiTags('Operations')
@ApiBearerAuth('jwt')
@ApiSecurity('api-key')
@Controller('operations')
export class OperationsController {
  constructor(private readonly operations: BulkOperationsService) {}

  @Get()
  @ApiOperation({
    summary: 'List redrives and replays',
    description: 'Those that you have asked for, newest first; kept for 30 days after their end.',
  })
  @ApiOkResponse({ standardSchema: OperationPage, description: 'A page of operations.' })
  @ApiProblems(422)
  list(
    @Query({ schema: OperationsQuery }) query: OperationsQuery,
    @CurrentPrincipal() principal: Principal,
  ): Promise<Page<OperationResponse>> {
    return this.operations.list(query, principal);
  }

  @Get(':id')
  @ApiIdParam('op', 'operation')
  @ApiOperation({
    summary: 'Read the progress of a redrive or replay',
    description: 'What became of its deliveries is in the history of their webhooks.',
  })
  @ApiOkResponse({ standardSchema: OperationResponse, description: 'As far as it has come.' })
  @ApiProblems(404)
  get(
    @Param('id') id: string,
    @CurrentPrincipal() principal: Principal,
  ): Promise<OperationResponse> {
    return this.operations.get(id, principal);
  }

  @Delete(':id')
  @ApiIdParam('op', 'operation')
  @HttpCode(204)
  @ApiOperation({
    summary: 'Cancel a redrive or replay',
    description:
      'What has not had its turn stays as it is; what is owed again already is sent. One that has ' +
      'ended stays as it is, too.',
  })
  @ApiNoContentResponse({ description: 'It does nothing more.' })
  @ApiProblems(404)
  cancel(@Param('id') id: string, @CurrentPrincipal() principal: Principal): Promise<void> {
    return this.operations.cancel(id, principal);
  }
}

import { Controller, Get, Param, Query } from '@nestjs/common';
import { ApiBearerAuth, ApiOkResponse, ApiOperation, ApiSecurity, ApiTags } from '@nestjs/swagger';
import { CurrentPrincipal } from '../../auth/current-principal.decorator.js';
import type { Principal } from '../../auth/principal.js';
import { ApiIdParam } from '../../http/api-id-param.decorator.js';
import { ApiProblems } from '../../http/api-problems.decorator.js';
import { WebhookStats, WebhookStatsQuery } from './stats.dto.js';
import { WebhookStatsService } from './stats.service.js';

@ApiTags('Deliveries')
@ApiBearerAuth('jwt')
@ApiSecurity('api-key')
@Controller('webhooks/:id/stats')
export class WebhookStatsController {
  constructor(private readonly stats: WebhookStatsService) {}

  @Get()
  @ApiIdParam('wh', 'webhook')
  @ApiOperation({
    summary: 'How a webhook is doing',
    description:
      'Counts, success rate and latencies over its newest deliveries, from their first outcome ' +
      'on, and the state of its circuit. A PATCH that gives its URL, its headers or ' +
      '`active: true` closes an open circuit.',
  })
  @ApiOkResponse({ standardSchema: WebhookStats, description: 'As of now.' })
  @ApiProblems(404, 422)
  get(
    @Param('id') id: string,
    @Query({ schema: WebhookStatsQuery }) query: WebhookStatsQuery,
    @CurrentPrincipal() principal: Principal,
  ): Promise<WebhookStats> {
    return this.stats.of(id, query, principal);
  }
}

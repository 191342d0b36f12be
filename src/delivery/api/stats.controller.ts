import { Get, Param, Query } from '@nestjs/common';
import { CurrentPrincipal } from '../../auth/current-principal.decorator.js';
import type { Principal } from '../../auth/principal.js';
import { ApiController, ApiIdParam, ApiRoute } from '../../http/api-route.decorator.js';
import { WebhookStats, WebhookStatsQuery } from './stats.dto.js';
import { WebhookStatsService } from './stats.service.js';

@ApiController('webhooks/:id/stats', 'Deliveries')
export class WebhookStatsController {
  constructor(private readonly stats: WebhookStatsService) {}

  @Get()
  @ApiIdParam('wh', 'webhook')
  @ApiRoute({
    summary: 'How a webhook is doing',
    description:
      'Counts, success rate and latencies over its newest deliveries, from their first outcome ' +
      'on, and the state of its circuit. A PATCH that gives its URL, its headers or ' +
      '`active: true` closes an open circuit.',
    schema: WebhookStats,
    answer: 'As of now.',
    problems: [404, 422],
  })
  get(
    @Param('id') id: string,
    @Query({ schema: WebhookStatsQuery }) query: WebhookStatsQuery,
    @CurrentPrincipal() principal: Principal,
  ): Promise<WebhookStats> {
    return this.stats.of(id, query, principal);
  }
}

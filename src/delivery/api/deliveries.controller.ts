import { Get, Param, Post, Query } from '@nestjs/common';
import { CurrentActor, CurrentPrincipal } from '../../auth/auth.decorators.js';
import type { Actor, Principal } from '../../auth/principal.js';
import { ApiController, ApiIdParam, ApiRoute } from '../../http/api-route.decorator.js';
import type { Page } from '../../shared/pagination.js';
import {
  DeliveriesQuery,
  DeliveryDetail,
  DeliveryList,
  DeliveryPage,
  DeliveryResponse,
  EventDeliveriesQuery,
  TestResult,
  WebhookDeliveriesQuery,
} from './deliveries.dto.js';
import { DeliveriesService } from './deliveries.service.js';
import { RedriveService } from './redrive.service.js';
import { WebhookStats, WebhookStatsQuery } from './stats.dto.js';
import { WebhookStatsService } from './stats.service.js';
import { MAX_TESTS_AT_ONCE, TESTS_PER_MINUTE, WebhookTestService } from './webhook-test.service.js';

@ApiController('', 'Deliveries')
export class DeliveriesController {
  constructor(
    private readonly deliveries: DeliveriesService,
    private readonly redrives: RedriveService,
    private readonly tests: WebhookTestService,
    private readonly stats: WebhookStatsService,
  ) {}

  @Get('deliveries')
  @ApiRoute({
    needs: 'deliveries:read',
    summary: 'List deliveries',
    description: 'To your webhooks, newest first.',
    schema: DeliveryPage,
    answer: 'A page of deliveries.',
    problems: [422],
  })
  list(
    @Query({ schema: DeliveriesQuery }) query: DeliveriesQuery,
    @CurrentPrincipal() principal: Principal,
  ): Promise<Page<DeliveryResponse>> {
    return this.deliveries.list(query, principal);
  }

  @Get('deliveries/:id')
  @ApiIdParam('dlv', 'delivery')
  @ApiRoute({
    needs: 'deliveries:read',
    summary: 'Read a delivery with its attempts',
    description: 'Also while it is pending; then it has no attempts yet.',
    schema: DeliveryDetail,
    answer: 'The delivery.',
    problems: [404],
  })
  get(@Param('id') id: string, @CurrentPrincipal() principal: Principal): Promise<DeliveryDetail> {
    return this.deliveries.get(id, principal);
  }

  @Get('events/:id/deliveries')
  @ApiIdParam('evt', 'event')
  @ApiRoute({
    needs: 'deliveries:read',
    summary: 'List the deliveries of an event',
    description: 'One entry per webhook it matched.',
    schema: DeliveryList,
    answer: 'All of them.',
    problems: [404, 422],
  })
  ofEvent(
    @Param('id') id: string,
    @Query({ schema: EventDeliveriesQuery }) query: EventDeliveriesQuery,
    @CurrentPrincipal() principal: Principal,
  ): Promise<DeliveryList> {
    return this.deliveries.ofEvent(id, query, principal);
  }

  @Get('webhooks/:id/deliveries')
  @ApiIdParam('wh', 'webhook')
  @ApiRoute({
    needs: 'deliveries:read',
    summary: 'History of a webhook',
    description: 'Newest first.',
    schema: DeliveryPage,
    answer: 'A page of deliveries.',
    problems: [404, 422],
  })
  ofWebhook(
    @Param('id') id: string,
    @Query({ schema: WebhookDeliveriesQuery }) query: WebhookDeliveriesQuery,
    @CurrentPrincipal() principal: Principal,
  ): Promise<Page<DeliveryResponse>> {
    return this.deliveries.listOfWebhook(id, query, principal);
  }

  @Get('webhooks/:id/stats')
  @ApiIdParam('wh', 'webhook')
  @ApiRoute({
    needs: 'deliveries:read',
    summary: 'Statistics of a webhook',
    description:
      'Counts, success rate and latencies over its newest deliveries, from their first outcome ' +
      'on, and the state of its circuit. A PATCH that gives its URL, its headers or ' +
      '`active: true` closes an open circuit.',
    schema: WebhookStats,
    answer: 'As of now.',
    problems: [404, 422],
  })
  statsOf(
    @Param('id') id: string,
    @Query({ schema: WebhookStatsQuery }) query: WebhookStatsQuery,
    @CurrentPrincipal() principal: Principal,
  ): Promise<WebhookStats> {
    return this.stats.of(id, query, principal);
  }

  @Post('webhooks/:id/retry/:deliveryId')
  @ApiIdParam('wh', 'webhook')
  @ApiIdParam('dlv', 'delivery', 'deliveryId')
  @ApiRoute({
    needs: 'deliveries:act',
    summary: 'Send one delivery again now',
    description:
      'The same event with the same id, and a new budget of attempts. A pending automatic retry ' +
      'is replaced, not added to. Refused with 409 during an attempt, while the webhook is deleted ' +
      'or disabled, and when the event has expired or was dropped by retention.',
    status: 202,
    schema: DeliveryResponse,
    answer: 'It is due now.',
    problems: [404, 409],
  })
  retry(
    @Param('id') webhookId: string,
    @Param('deliveryId') deliveryId: string,
    @CurrentActor() actor: Actor,
  ): Promise<DeliveryResponse> {
    return this.redrives.redrive(deliveryId, actor, { webhookId });
  }

  @Post('webhooks/:id/test')
  @ApiIdParam('wh', 'webhook')
  @ApiRoute({
    needs: 'deliveries:act',
    summary: 'Send a test event now',
    description:
      'Posts `webhook.test`, signed, and answers with the response of the receiver. Also while the ' +
      `webhook is switched off. An owner may make ${MAX_TESTS_AT_ONCE} test calls at a time, and ` +
      `${TESTS_PER_MINUTE} per minute in the long run.`,
    schema: TestResult,
    answer: 'The attempt, successful or not.',
    problems: [404, 409, 429],
  })
  test(@Param('id') id: string, @CurrentPrincipal() principal: Principal): Promise<TestResult> {
    return this.tests.send(id, principal);
  }
}

import { Body, Controller, Get, HttpCode, Param, Post, Query } from '@nestjs/common';
import {
  ApiAcceptedResponse,
  ApiBearerAuth,
  ApiOkResponse,
  ApiOperation,
  ApiSecurity,
  ApiTags,
} from '@nestjs/swagger';
import { CurrentPrincipal } from '../auth/current-principal.decorator.js';
import type { Principal } from '../auth/principal.js';
import { Roles } from '../auth/roles.decorator.js';
import { ApiIdParam } from '../http/api-id-param.decorator.js';
import { ApiProblems } from '../http/api-problems.decorator.js';
import { ApiIdempotencyKey, IdempotencyKey } from '../http/idempotency-key.decorator.js';
import type { Page } from '../shared/pagination.js';
import {
  EventPage,
  EventQuery,
  EventResponse,
  PublishBatch,
  PublishedBatch,
  PublishedEvent,
  PublishEvent,
} from './events.dto.js';
import { EventsService } from './events.service.js';

const ApiPublishedOnce = ApiIdempotencyKey(
  'give the same answer with `duplicate: true`, and publish nothing.',
);

@ApiTags('Events')
@ApiBearerAuth('jwt')
@ApiSecurity('api-key')
@Controller('events')
export class EventsController {
  constructor(private readonly events: EventsService) {}

  @Post()
  @HttpCode(202)
  @Roles('publisher')
  @ApiOperation({
    summary: 'Publish an event',
    description:
      'Answers once the event is durably committed; from then on it is delivered to every webhook ' +
      'and live client that is subscribed, whatever happens.',
  })
  @ApiPublishedOnce
  @ApiAcceptedResponse({ standardSchema: PublishedEvent, description: 'Committed.' })
  @ApiProblems(403, 409)
  publish(
    @Body({ schema: PublishEvent }) event: PublishEvent,
    @CurrentPrincipal() principal: Principal,
    @IdempotencyKey() key: string | undefined,
  ): Promise<PublishedEvent> {
    return this.events.publishFor(event, { principal, key });
  }

  @Post('batch')
  @HttpCode(202)
  @Roles('publisher')
  @ApiOperation({
    summary: 'Publish up to 1000 events',
    description: 'All are accepted in one commit, or none; a bad one is named by its index.',
  })
  @ApiPublishedOnce
  @ApiAcceptedResponse({ standardSchema: PublishedBatch, description: 'Committed.' })
  @ApiProblems(403, 409)
  publishBatch(
    @Body({ schema: PublishBatch }) batch: PublishBatch,
    @CurrentPrincipal() principal: Principal,
    @IdempotencyKey() key: string | undefined,
  ): Promise<PublishedBatch> {
    return this.events.publishBatchFor(batch, { principal, key });
  }

  @Get()
  @ApiOperation({
    summary: 'Read the event log',
    description: 'Your own events and public ones, newest first.',
  })
  @ApiOkResponse({ standardSchema: EventPage, description: 'A page of events.' })
  @ApiProblems(422)
  list(
    @Query({ schema: EventQuery }) query: EventQuery,
    @CurrentPrincipal() principal: Principal,
  ): Promise<Page<EventResponse>> {
    return this.events.list(query, principal);
  }

  @Get(':id')
  @ApiIdParam('evt', 'event')
  @ApiOperation({ summary: 'Read an event', description: 'As it was delivered.' })
  @ApiOkResponse({ standardSchema: EventResponse, description: 'The event.' })
  @ApiProblems(404)
  get(@Param('id') id: string, @CurrentPrincipal() principal: Principal): Promise<EventResponse> {
    return this.events.get(id, principal);
  }
}

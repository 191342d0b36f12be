import { Body, Get, Param, Post, Query } from '@nestjs/common';
import { CurrentPrincipal, Roles } from '../auth/auth.decorators.js';
import type { Principal } from '../auth/principal.js';
import { ApiController, ApiIdParam, ApiRoute } from '../http/api-route.decorator.js';
import { BodyText } from '../http/body-text.decorator.js';
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

@ApiController('events', 'Events')
export class EventsController {
  constructor(private readonly events: EventsService) {}

  @Post()
  @Roles('publisher')
  @ApiRoute({
    summary: 'Publish an event',
    description:
      'Answers once the event is durably committed; from then on it is delivered to every webhook ' +
      'and live client that is subscribed, whatever happens.',
    status: 202,
    schema: PublishedEvent,
    answer: 'Committed.',
    problems: [403, 409],
  })
  @ApiPublishedOnce
  publish(
    @Body({ schema: PublishEvent }) event: PublishEvent,
    @CurrentPrincipal() principal: Principal,
    @IdempotencyKey() key: string | undefined,
    @BodyText() text: string,
  ): Promise<PublishedEvent> {
    return this.events.publishFor(event, { principal, key, text });
  }

  @Post('batch')
  @Roles('publisher')
  @ApiRoute({
    summary: 'Publish up to 1000 events',
    description: 'All are accepted in one commit, or none; a bad one is named by its index.',
    status: 202,
    schema: PublishedBatch,
    answer: 'Committed.',
    problems: [403, 409],
  })
  @ApiPublishedOnce
  publishBatch(
    @Body({ schema: PublishBatch }) batch: PublishBatch,
    @CurrentPrincipal() principal: Principal,
    @IdempotencyKey() key: string | undefined,
    @BodyText() text: string,
  ): Promise<PublishedBatch> {
    return this.events.publishBatchFor(batch, { principal, key, text });
  }

  @Get()
  @ApiRoute({
    summary: 'Read the event log',
    description: 'Your own events and public ones, newest first.',
    schema: EventPage,
    answer: 'A page of events.',
    problems: [422],
  })
  list(
    @Query({ schema: EventQuery }) query: EventQuery,
    @CurrentPrincipal() principal: Principal,
  ): Promise<Page<EventResponse>> {
    return this.events.list(query, principal);
  }

  @Get(':id')
  @ApiIdParam('evt', 'event')
  @ApiRoute({
    summary: 'Read an event',
    description: 'As its listeners received it.',
    schema: EventResponse,
    answer: 'The event.',
    problems: [404],
  })
  get(@Param('id') id: string, @CurrentPrincipal() principal: Principal): Promise<EventResponse> {
    return this.events.get(id, principal);
  }
}

import { Body, Delete, Get, Param, Post, Put, Query, Res } from '@nestjs/common';
import { ApiParam } from '@nestjs/swagger';
import { CurrentActor } from '../auth/auth.decorators.js';
import type { Actor } from '../auth/principal.js';
import { ApiController, ApiRoute } from '../http/api-route.decorator.js';
import type { Reply } from '../http/fastify-types.js';
import type { Page } from '../shared/pagination.js';
import {
  CreateEventType,
  EventTypePage,
  EventTypeQuery,
  EventTypeResponse,
  PutEventType,
} from './event-types.dto.js';
import { EventTypesService } from './event-types.service.js';

const ApiName = ApiParam({
  name: 'name',
  description: 'The event type.',
  example: 'trade.submitted',
});

/** The catalogue of event types, which all owners share. */
@ApiController('event-types', 'Event types')
export class EventTypesController {
  constructor(private readonly types: EventTypesService) {}

  @Post()
  @ApiRoute({
    needs: 'event-types:write',
    summary: 'Add an event type to the catalogue',
    description:
      'Events of types that are not in the catalogue can be published, too. A type in the ' +
      'catalogue can have a schema that its events must fit, a default priority, and a choice of ' +
      'transports. A change takes effect in every process shortly after the answer, at the latest ' +
      'after five seconds.',
    status: 201,
    schema: EventTypeResponse,
    answer: 'Added.',
    problems: [409],
  })
  create(
    @Body({ schema: CreateEventType }) input: CreateEventType,
    @CurrentActor() actor: Actor,
  ): Promise<EventTypeResponse> {
    return this.types.create(input, actor);
  }

  @Get()
  @ApiRoute({
    needs: 'event-types:read',
    summary: 'List the event types',
    description: 'In the order of their names, with the built-in ones.',
    schema: EventTypePage,
    answer: 'A page of event types.',
    problems: [422],
  })
  list(@Query({ schema: EventTypeQuery }) query: EventTypeQuery): Promise<Page<EventTypeResponse>> {
    return this.types.list(query);
  }

  @Get(':name')
  @ApiName
  @ApiRoute({
    needs: 'event-types:read',
    summary: 'Read an event type',
    description: 'With its schema.',
    schema: EventTypeResponse,
    answer: 'The event type.',
    problems: [404],
  })
  get(@Param('name') name: string): Promise<EventTypeResponse> {
    return this.types.get(name);
  }

  @Put(':name')
  @ApiName
  @ApiRoute({
    needs: 'event-types:write',
    summary: 'Set an event type',
    description:
      'Adds the type, or replaces it: absent fields take their defaults. Events that are in the ' +
      'log already stay as they are.',
    schema: EventTypeResponse,
    answer: 'Replaced.',
    otherwise: { status: 201, schema: EventTypeResponse, answer: 'Added.' },
    problems: [409],
  })
  async put(
    @Param('name') name: string,
    @Body({ schema: PutEventType }) input: PutEventType,
    @CurrentActor() actor: Actor,
    @Res({ passthrough: true }) reply: Reply,
  ): Promise<EventTypeResponse> {
    const { type, isNew } = await this.types.put(name, input, actor);
    if (isNew) reply.status(201);
    return type;
  }

  @Delete(':name')
  @ApiName
  @ApiRoute({
    needs: 'event-types:write',
    summary: 'Remove an event type from the catalogue',
    description:
      'Its events can still be published, as those of any type that is not in the catalogue.',
    status: 204,
    answer: 'Removed.',
    problems: [404, 409],
  })
  delete(@Param('name') name: string, @CurrentActor() actor: Actor): Promise<void> {
    return this.types.delete(name, actor);
  }
}

import {
  Body,
  Controller,
  Delete,
  Get,
  HttpCode,
  Param,
  Post,
  Put,
  Query,
  Res,
} from '@nestjs/common';
import {
  ApiBearerAuth,
  ApiCreatedResponse,
  ApiNoContentResponse,
  ApiOkResponse,
  ApiOperation,
  ApiParam,
  ApiSecurity,
  ApiTags,
} from '@nestjs/swagger';
import { Roles } from '../auth/roles.decorator.js';
import { ApiProblems } from '../http/api-problems.decorator.js';
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

/** The part of Fastify's reply that is used here. */
interface Reply {
  status(code: number): unknown;
}

/** Admins write the catalogue; every authenticated caller can read it. */
@ApiTags('Event types')
@ApiBearerAuth('jwt')
@ApiSecurity('api-key')
@Controller('event-types')
export class EventTypesController {
  constructor(private readonly types: EventTypesService) {}

  @Post()
  @Roles('admin')
  @ApiOperation({
    summary: 'Add an event type to the catalogue',
    description:
      'Events of types that are not in the catalogue can be published, too. A type in the ' +
      'catalogue can have a schema that its events must fit, a default priority, and a choice of ' +
      'transports. A change takes effect in every process shortly after the answer, at the latest ' +
      'after five seconds.',
  })
  @ApiCreatedResponse({ standardSchema: EventTypeResponse, description: 'Added.' })
  @ApiProblems(403, 409)
  create(@Body({ schema: CreateEventType }) input: CreateEventType): Promise<EventTypeResponse> {
    return this.types.create(input);
  }

  @Get()
  @ApiOperation({
    summary: 'List the event types',
    description: 'In the order of their names, with the built-in ones.',
  })
  @ApiOkResponse({ standardSchema: EventTypePage, description: 'A page of event types.' })
  @ApiProblems(422)
  list(@Query({ schema: EventTypeQuery }) query: EventTypeQuery): Promise<Page<EventTypeResponse>> {
    return this.types.list(query);
  }

  @Get(':name')
  @ApiName
  @ApiOperation({ summary: 'Read an event type', description: 'With its schema.' })
  @ApiOkResponse({ standardSchema: EventTypeResponse, description: 'The event type.' })
  @ApiProblems(404)
  get(@Param('name') name: string): Promise<EventTypeResponse> {
    return this.types.get(name);
  }

  @Put(':name')
  @Roles('admin')
  @ApiName
  @ApiOperation({
    summary: 'Set an event type',
    description:
      'Adds the type, or replaces it: absent fields take their defaults. Events that are in the ' +
      'log already stay as they are.',
  })
  @ApiOkResponse({ standardSchema: EventTypeResponse, description: 'Replaced.' })
  @ApiCreatedResponse({ standardSchema: EventTypeResponse, description: 'Added.' })
  @ApiProblems(403, 409)
  async put(
    @Param('name') name: string,
    @Body({ schema: PutEventType }) input: PutEventType,
    @Res({ passthrough: true }) reply: Reply,
  ): Promise<EventTypeResponse> {
    const { type, isNew } = await this.types.put(name, input);
    if (isNew) reply.status(201);
    return type;
  }

  @Delete(':name')
  @Roles('admin')
  @ApiName
  @HttpCode(204)
  @ApiOperation({
    summary: 'Remove an event type from the catalogue',
    description:
      'Its events can still be published, as those of any type that is not in the catalogue.',
  })
  @ApiNoContentResponse({ description: 'Removed.' })
  @ApiProblems(403, 404, 409)
  delete(@Param('name') name: string): Promise<void> {
    return this.types.delete(name);
  }
}

import type { IncomingMessage } from 'node:http';
import { Get, HttpCode, Options, Query, Req, Res, UseFilters, UseGuards } from '@nestjs/common';
import { ApiExcludeEndpoint, ApiHeader } from '@nestjs/swagger';
import { CurrentPrincipal, Public } from '../../../auth/auth.decorators.js';
import type { Principal } from '../../../auth/principal.js';
import { ApiController, ApiRoute } from '../../../http/api-route.decorator.js';
import type { Reply } from '../../../http/fastify-types.js';
import { exampleId } from '../../../shared/zod-fields.js';
import { EventStreamQuery } from './event-stream.dto.js';
import { EventStreamRefusalFilter } from './event-stream.filter.js';
import { EventStreamGuard } from './event-stream.guard.js';
import { EventStreams } from './event-streams.service.js';

const EXAMPLE =
  `id: ${exampleId('evt')}\nevent: event\n` +
  `data: {"id":"${exampleId('evt')}","type":"trade.submitted",` +
  `"timestamp":"2026-01-31T12:00:00.000Z","subject":"AAPL","data":{"tradeId":"T-1"}}\n\n`;

@ApiController('events', 'Events')
// Its own guard instead of the one of all routes, which knows of headers only.
@Public()
@UseGuards(EventStreamGuard)
@UseFilters(EventStreamRefusalFilter)
export class EventStreamController {
  constructor(private readonly streams: EventStreams) {}

  @Get('stream')
  @ApiRoute({
    needs: 'events:receive',
    summary: 'Listen to events',
    description:
      'Server-sent events: the envelope as `data`, its id as `id`. First comes `connected`, and ' +
      '`draining` before the server stops; comments in between keep the stream alive.',
    answer: 'A stream that does not end.',
    content: { 'text/event-stream': { schema: { type: 'string' }, example: EXAMPLE } },
    problems: [422],
  })
  @ApiHeader({
    name: 'Last-Event-ID',
    required: false,
    description: 'The last event that the client has seen; `EventSource` sends it by itself.',
    schema: { type: 'string', example: exampleId('evt') },
  })
  async stream(
    @Query({ schema: EventStreamQuery }) query: EventStreamQuery,
    @CurrentPrincipal() principal: Principal,
    @Req() { raw: request }: { raw: IncomingMessage },
    @Res() reply: Reply,
  ): Promise<void> {
    const start = await this.streams.prepare({ query, principal, request });
    // From here on Fastify leaves the response alone.
    reply.hijack();
    await start(reply.raw);
  }

  /** Asked by the browser of a page on another host. The guard has answered it. */
  @Options('stream')
  @HttpCode(204)
  @ApiExcludeEndpoint()
  preflight(): void {}
}

import { Body, Delete, Get, Param, Post, Query } from '@nestjs/common';
import { CurrentActor, CurrentPrincipal } from '../../auth/auth.decorators.js';
import type { Actor, Principal } from '../../auth/principal.js';
import { ApiController, ApiIdParam, ApiRoute } from '../../http/api-route.decorator.js';
import type { Page } from '../../shared/pagination.js';
import {
  AdminBroadcast,
  BroadcastResponse,
  ConnectionPage,
  type ConnectionResponse,
  ConnectionsQuery,
} from './admin-realtime.dto.js';
import { AdminRealtime } from './admin-realtime.service.js';

/** Live connections of all owners and all nodes, for operators. */
@ApiController('admin', 'Administration')
export class AdminRealtimeController {
  constructor(private readonly realtime: AdminRealtime) {}

  @Get('connections')
  @ApiRoute({
    needs: 'connections:manage',
    summary: 'List live connections',
    description: 'Of all owners and in all processes, the newest first.',
    schema: ConnectionPage,
    answer: 'A page of connections.',
    problems: [422],
  })
  list(
    @Query({ schema: ConnectionsQuery }) query: ConnectionsQuery,
    @CurrentPrincipal() principal: Principal,
  ): Promise<Page<ConnectionResponse>> {
    return this.realtime.list(query, principal);
  }

  @Delete('connections/:id')
  @ApiIdParam('con', 'connection')
  @ApiRoute({
    needs: 'connections:manage',
    summary: 'End a live connection',
    description:
      'On any node. The client gets `closed_by_operator`, with `reconnect: false`, and should not ' +
      'come back by itself.',
    status: 204,
    answer: 'It is being closed.',
    problems: [404],
  })
  close(@Param('id') id: string, @CurrentActor() actor: Actor): Promise<void> {
    return this.realtime.close(id, actor);
  }

  @Post('broadcast')
  @ApiRoute({
    needs: 'connections:manage',
    summary: 'Send a message to live connections',
    description:
      'To all, or to those of an owner, on a topic, or to one; as a `message` notice over every ' +
      'transport. It is not stored: a client that is not connected does not get it.',
    schema: BroadcastResponse,
    answer: 'It was sent.',
  })
  broadcast(
    @Body({ schema: AdminBroadcast }) request: AdminBroadcast,
    @CurrentActor() actor: Actor,
  ): Promise<BroadcastResponse> {
    return this.realtime.broadcast(request, actor);
  }
}

import { Body, Delete, Get, Param, Patch, Post, Query } from '@nestjs/common';
import { CurrentActor, CurrentPrincipal } from '../auth/auth.decorators.js';
import type { Actor, Principal } from '../auth/principal.js';
import { ApiController, ApiIdParam, ApiRoute } from '../http/api-route.decorator.js';
import type { Page } from '../shared/pagination.js';
import {
  CreateWebhook,
  RotateSecret,
  UpdateWebhook,
  WebhookPage,
  WebhookQuery,
  WebhookResponse,
  WebhookWithSecret,
} from './webhooks.dto.js';
import { WebhooksService } from './webhooks.service.js';

@ApiController('webhooks', 'Webhooks')
export class WebhooksController {
  constructor(private readonly webhooks: WebhooksService) {}

  @Post()
  @ApiRoute({
    needs: 'webhooks:write',
    summary: 'Register a webhook',
    description:
      'From the response on, every event that matches one of its patterns is POSTed to its URL, ' +
      'signed as Standard Webhooks describe. Only this response, and that of a rotation, contains ' +
      'the secret.',
    status: 201,
    schema: WebhookWithSecret,
    answer: 'Registered.',
    problems: [409, 429],
  })
  create(
    @Body({ schema: CreateWebhook }) input: CreateWebhook,
    @CurrentActor() actor: Actor,
  ): Promise<WebhookWithSecret> {
    return this.webhooks.create(input, actor);
  }

  @Get()
  @ApiRoute({
    needs: 'webhooks:read',
    summary: 'List webhooks',
    description: 'Your own, newest first; callers that reach all owners narrow them by `tenant`.',
    schema: WebhookPage,
    answer: 'A page of webhooks.',
    problems: [422],
  })
  list(
    @Query({ schema: WebhookQuery }) query: WebhookQuery,
    @CurrentPrincipal() principal: Principal,
  ): Promise<Page<WebhookResponse>> {
    return this.webhooks.list(query, principal);
  }

  @Get(':id')
  @ApiIdParam('wh', 'webhook')
  @ApiRoute({
    needs: 'webhooks:read',
    summary: 'Read a webhook',
    description: 'Everything but its secret.',
    schema: WebhookResponse,
    answer: 'The webhook, without secret.',
    problems: [404],
  })
  get(@Param('id') id: string, @CurrentPrincipal() principal: Principal): Promise<WebhookResponse> {
    return this.webhooks.get(id, principal);
  }

  @Patch(':id')
  @ApiIdParam('wh', 'webhook')
  @ApiRoute({
    needs: 'webhooks:switch',
    summary: 'Change a webhook',
    description:
      'Only the given fields change; null resets a field to its default. Deliveries that wait for ' +
      'a retry use the new URL, headers and policy. Switching it on again sends what has waited. ' +
      'An event that is published after the answer is matched by it; a worker in another process ' +
      'uses the new settings within half a second (5 s if a notification is lost). ' +
      'The role `operator` changes `active` only.',
    schema: WebhookResponse,
    answer: 'As it is now.',
    problems: [404],
  })
  update(
    @Param('id') id: string,
    @Body({ schema: UpdateWebhook }) change: UpdateWebhook,
    @CurrentActor() actor: Actor,
  ): Promise<WebhookResponse> {
    return this.webhooks.update(id, change, actor);
  }

  @Delete(':id')
  @ApiIdParam('wh', 'webhook')
  @ApiRoute({
    needs: 'webhooks:write',
    summary: 'Delete a webhook',
    description: 'Its pending deliveries are canceled. Its history stays readable.',
    status: 204,
    answer: 'Deleted.',
    problems: [404],
  })
  delete(@Param('id') id: string, @CurrentActor() actor: Actor): Promise<void> {
    return this.webhooks.delete(id, actor);
  }

  @Post(':id/rotate-secret')
  @ApiIdParam('wh', 'webhook')
  @ApiRoute({
    needs: 'webhooks:write',
    summary: 'Rotate the signing secret',
    description: 'Until the overlap ends, requests carry a signature of each valid secret.',
    schema: WebhookWithSecret,
    answer: 'With the new secret.',
    problems: [404],
  })
  rotateSecret(
    @Param('id') id: string,
    @Body({ schema: RotateSecret }) input: RotateSecret,
    @CurrentActor() actor: Actor,
  ): Promise<WebhookWithSecret> {
    return this.webhooks.rotateSecret(id, input, actor);
  }
}

import { Body, Controller, Delete, Get, HttpCode, Param, Patch, Post, Query } from '@nestjs/common';
import {
  ApiBearerAuth,
  ApiCreatedResponse,
  ApiNoContentResponse,
  ApiOkResponse,
  ApiOperation,
  ApiSecurity,
  ApiTags,
} from '@nestjs/swagger';
import { CurrentPrincipal } from '../auth/current-principal.decorator.js';
import type { Principal } from '../auth/principal.js';
import { ApiIdParam } from '../http/api-id-param.decorator.js';
import { ApiProblems } from '../http/api-problems.decorator.js';
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

@ApiTags('Webhooks')
@ApiBearerAuth('jwt')
@ApiSecurity('api-key')
@Controller('webhooks')
export class WebhooksController {
  constructor(private readonly webhooks: WebhooksService) {}

  @Post()
  @ApiOperation({
    summary: 'Register a webhook',
    description:
      'From the response on, every event that matches one of its patterns is POSTed to its URL, ' +
      'signed as Standard Webhooks describe. Only this response, and that of a rotation, contains ' +
      'the secret.',
  })
  @ApiCreatedResponse({ standardSchema: WebhookWithSecret, description: 'Registered.' })
  @ApiProblems(403)
  create(
    @Body({ schema: CreateWebhook }) input: CreateWebhook,
    @CurrentPrincipal() principal: Principal,
  ): Promise<WebhookWithSecret> {
    return this.webhooks.create(input, principal);
  }

  @Get()
  @ApiOperation({ summary: 'List webhooks', description: 'Your own, newest first.' })
  @ApiOkResponse({ standardSchema: WebhookPage, description: 'A page of webhooks.' })
  @ApiProblems(422)
  list(
    @Query({ schema: WebhookQuery }) query: WebhookQuery,
    @CurrentPrincipal() principal: Principal,
  ): Promise<Page<WebhookResponse>> {
    return this.webhooks.list(query, principal);
  }

  @Get(':id')
  @ApiIdParam('wh', 'webhook')
  @ApiOperation({ summary: 'Read a webhook', description: 'Everything but its secret.' })
  @ApiOkResponse({ standardSchema: WebhookResponse, description: 'The webhook, without secret.' })
  @ApiProblems(404)
  get(@Param('id') id: string, @CurrentPrincipal() principal: Principal): Promise<WebhookResponse> {
    return this.webhooks.get(id, principal);
  }

  @Patch(':id')
  @ApiIdParam('wh', 'webhook')
  @ApiOperation({
    summary: 'Change a webhook',
    description:
      'Only the given fields change; null resets a field to its default. Deliveries that wait for ' +
      'a retry use the new URL, headers and policy. Switching it on again sends what has waited.',
  })
  @ApiOkResponse({ standardSchema: WebhookResponse, description: 'As it is now.' })
  @ApiProblems(403, 404)
  update(
    @Param('id') id: string,
    @Body({ schema: UpdateWebhook }) change: UpdateWebhook,
    @CurrentPrincipal() principal: Principal,
  ): Promise<WebhookResponse> {
    return this.webhooks.update(id, change, principal);
  }

  @Delete(':id')
  @ApiIdParam('wh', 'webhook')
  @HttpCode(204)
  @ApiOperation({
    summary: 'Delete a webhook',
    description: 'Its pending deliveries are canceled. Its history stays readable.',
  })
  @ApiNoContentResponse({ description: 'Deleted.' })
  @ApiProblems(404)
  delete(@Param('id') id: string, @CurrentPrincipal() principal: Principal): Promise<void> {
    return this.webhooks.delete(id, principal);
  }

  @Post(':id/rotate-secret')
  @ApiIdParam('wh', 'webhook')
  @HttpCode(200)
  @ApiOperation({
    summary: 'Rotate the signing secret',
    description: 'Until the overlap ends, requests carry a signature of each valid secret.',
  })
  @ApiOkResponse({ standardSchema: WebhookWithSecret, description: 'With the new secret.' })
  @ApiProblems(404)
  rotateSecret(
    @Param('id') id: string,
    @Body({ schema: RotateSecret }) input: RotateSecret,
    @CurrentPrincipal() principal: Principal,
  ): Promise<WebhookWithSecret> {
    return this.webhooks.rotateSecret(id, input, principal);
  }
}

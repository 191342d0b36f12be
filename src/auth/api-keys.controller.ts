import { Body, Delete, Get, Param, Post, Query } from '@nestjs/common';
import { ApiController, ApiIdParam, ApiRoute } from '../http/api-route.decorator.js';
import type { Page } from '../shared/pagination.js';
import {
  ApiKey,
  ApiKeyPage,
  type ApiKeyResponse,
  ApiKeysQuery,
  CreateApiKey,
  CreatedApiKey,
  type CreatedApiKeyResponse,
  type NewApiKey,
  toApiKeyResponse,
} from './api-keys.dto.js';
import { ApiKeysService } from './api-keys.service.js';
import { CurrentActor, CurrentPrincipal } from './auth.decorators.js';
import type { Actor, Principal } from './principal.js';

@ApiController('api-keys', 'API keys')
export class ApiKeysController {
  constructor(private readonly keys: ApiKeysService) {}

  @Post()
  @ApiRoute({
    needs: 'api-keys:manage',
    summary: 'Create an API key',
    description:
      'Creates a long-lived credential, for `X-API-Key` or as a bearer token, with some of the ' +
      'rights of the caller. Only this response contains the key; it is stored hashed.',
    status: 201,
    schema: CreatedApiKey,
    answer: 'The key, shown this once.',
    problems: [400, 401, 403, 422, 503],
  })
  async create(
    @CurrentActor() actor: Actor,
    @Body({ schema: CreateApiKey }) body: NewApiKey,
  ): Promise<CreatedApiKeyResponse> {
    const { entity, key } = await this.keys.create(actor, body);
    return { ...toApiKeyResponse(entity), key };
  }

  @Get()
  @ApiRoute({
    needs: 'api-keys:manage',
    summary: 'List API keys',
    description:
      'Those of your owner, newest first, without the keys themselves. An admin lists those of all ' +
      'owners, and narrows them by `tenant`.',
    schema: ApiKeyPage,
    answer: 'One page of keys.',
    problems: [401, 422, 503],
  })
  async list(
    @CurrentPrincipal() principal: Principal,
    @Query({ schema: ApiKeysQuery }) query: ApiKeysQuery,
  ): Promise<Page<ApiKeyResponse>> {
    const { data, nextCursor } = await this.keys.list(principal, query);
    return { data: data.map(toApiKeyResponse), nextCursor };
  }

  @Get(':id')
  @ApiRoute({
    needs: 'api-keys:manage',
    summary: 'Read an API key',
    description: 'Everything but the key itself.',
    schema: ApiKey,
    answer: 'The key.',
    problems: [401, 404, 503],
  })
  @ApiIdParam('key', 'key')
  async get(
    @CurrentPrincipal() principal: Principal,
    @Param('id') id: string,
  ): Promise<ApiKeyResponse> {
    return toApiKeyResponse(await this.keys.get(principal, id));
  }

  @Delete(':id')
  @ApiRoute({
    needs: 'api-keys:manage',
    summary: 'Revoke an API key',
    description:
      'The key is refused at once by this node and within 5 s by every other, and so is every key ' +
      'that was created with it.',
    status: 204,
    answer: 'It is revoked.',
    problems: [401, 404, 503],
  })
  @ApiIdParam('key', 'key')
  async revoke(@CurrentActor() actor: Actor, @Param('id') id: string): Promise<void> {
    await this.keys.revoke(actor, id);
  }
}

import { Body, Controller, Delete, Get, HttpCode, Param, Post, Query } from '@nestjs/common';
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
import { ApiProblems } from '../http/api-problems.decorator.js';
import { type Page, PageQuery, type PageQueryInput } from '../shared/pagination.js';
import {
  ApiKey,
  ApiKeyPage,
  type ApiKeyResponse,
  CreateApiKey,
  CreatedApiKey,
  type CreatedApiKeyResponse,
  type NewApiKey,
  toApiKeyResponse,
} from './api-keys.dto.js';
import { ApiKeysService } from './api-keys.service.js';
import { CurrentPrincipal } from './current-principal.decorator.js';
import type { Principal } from './principal.js';

@ApiTags('API keys')
@ApiBearerAuth('jwt')
@ApiSecurity('api-key')
@Controller('api-keys')
export class ApiKeysController {
  constructor(private readonly keys: ApiKeysService) {}

  @Post()
  @ApiOperation({
    summary: 'Create an API key',
    description:
      'Creates a long-lived credential for the `X-API-Key` header, with some of the rights of the ' +
      'caller. Only this response contains the key; it is stored hashed.',
  })
  @ApiCreatedResponse({
    standardSchema: CreatedApiKey,
    description: 'The key, which is shown only now.',
  })
  @ApiProblems(400, 401, 403, 422, 503)
  async create(
    @CurrentPrincipal() principal: Principal,
    @Body({ schema: CreateApiKey }) body: NewApiKey,
  ): Promise<CreatedApiKeyResponse> {
    const { entity, key } = await this.keys.create(principal, body);
    return { ...toApiKeyResponse(entity), key };
  }

  @Get()
  @ApiOperation({
    summary: 'List API keys',
    description: 'The keys of the caller, newest first, without the keys themselves.',
  })
  @ApiOkResponse({ standardSchema: ApiKeyPage, description: 'One page of keys.' })
  @ApiProblems(401, 422, 503)
  async list(
    @CurrentPrincipal() principal: Principal,
    @Query({ schema: PageQuery }) query: PageQueryInput,
  ): Promise<Page<ApiKeyResponse>> {
    const { data, nextCursor } = await this.keys.list(principal, query);
    return { data: data.map(toApiKeyResponse), nextCursor };
  }

  @Get(':id')
  @ApiOperation({ summary: 'Read an API key', description: 'Everything but the key itself.' })
  @ApiParam({
    name: 'id',
    description: 'Id of the key.',
    example: 'key_01h455vb4pex5vsknk084sn02q',
  })
  @ApiOkResponse({ standardSchema: ApiKey, description: 'The key.' })
  @ApiProblems(401, 404, 503)
  async get(
    @CurrentPrincipal() principal: Principal,
    @Param('id') id: string,
  ): Promise<ApiKeyResponse> {
    return toApiKeyResponse(await this.keys.get(principal, id));
  }

  @Delete(':id')
  @HttpCode(204)
  @ApiOperation({
    summary: 'Revoke an API key',
    description: 'The key is refused at once by this node and within 5 s by every other.',
  })
  @ApiParam({
    name: 'id',
    description: 'Id of the key.',
    example: 'key_01h455vb4pex5vsknk084sn02q',
  })
  @ApiNoContentResponse({ description: 'It is revoked.' })
  @ApiProblems(401, 404, 503)
  async revoke(@CurrentPrincipal() principal: Principal, @Param('id') id: string): Promise<void> {
    await this.keys.revoke(principal, id);
  }
}

import { Controller, Get, Req } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';
import { Authenticator } from '../auth/authenticator.service.js';
import { credentialsIn, type CredentialSource } from '../auth/credentials.js';
import { Public } from '../auth/auth.decorators.js';
import { requireAbility } from '../auth/principal.js';
import { EventTypeCache } from '../event-types/event-type-cache.service.js';
import { type AsyncApiDocument, asyncApiDocument, BUILT_IN } from './asyncapi-document.js';

/**
 * The document beside that of the REST API. Its frames are public, like that one; the operator's
 * types are not, so only callers that may read the catalogue get them.
 */
@ApiExcludeController()
@Controller('docs')
export class AsyncApiController {
  constructor(
    private readonly authenticator: Authenticator,
    private readonly types: EventTypeCache,
  ) {}

  @Public()
  @Get('asyncapi.json')
  async document(@Req() { raw }: { raw: CredentialSource }): Promise<AsyncApiDocument> {
    const credentials = credentialsIn(raw);
    if (!credentials.authorization && !credentials.apiKey) return asyncApiDocument(BUILT_IN);
    requireAbility(await this.authenticator.authenticate(credentials), 'event-types:read');
    const own = this.types.all().filter((type) => type.reaches('socket'));
    return asyncApiDocument([...BUILT_IN, ...own.map(({ settings }) => settings)]);
  }
}

import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { AppError } from '../shared/app-error.js';
import { Needs } from '../http/api-route.decorator.js';
import { Authenticator } from './authenticator.service.js';
import { type CredentialSource, credentialsIn } from './credentials.js';
import { type Principal, requireAbility } from './principal.js';
import { Public } from './auth.decorators.js';

/** A request, with what the guard adds to it. */
export interface AuthenticatedRequest {
  /** The request of `node:http` below Fastify's. */
  raw: CredentialSource;
  principal?: Principal;
}

/**
 * Guards every HTTP route that is not `@Public()`: it needs a credential, and the ability that it names
 * (`needs` of `ApiRoute`). The services decide which data the caller may see.
 */
@Injectable()
export class AuthGuard implements CanActivate {
  constructor(
    private readonly reflector: Reflector,
    private readonly authenticator: Authenticator,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    // A live connection is authenticated at its handshake; Nest runs guards per message, too late.
    if (context.getType() === 'ws') return true;
    // Any other kind of call is refused until this guard knows it.
    if (context.getType() !== 'http') return false;

    const targets = [context.getHandler(), context.getClass()];
    if (this.reflector.getAllAndOverride(Public, targets)) return true;
    const principal = await this.principalOf(context);
    const ability = this.reflector.getAllAndOverride(Needs, targets);
    // A route that says nothing of its callers has none.
    if (ability === undefined) throw undeclared();
    requireAbility(principal, ability);
    return true;
  }

  private async principalOf(context: ExecutionContext): Promise<Principal> {
    const request = context.switchToHttp().getRequest<AuthenticatedRequest>();
    return (request.principal = await this.authenticator.authenticate(credentialsIn(request.raw)));
  }
}

const undeclared = (): AppError =>
  new AppError('forbidden', 'role_required', 'No role allows this call.');

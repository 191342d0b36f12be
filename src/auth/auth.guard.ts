import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { AppError } from '../shared/app-error.js';
import { Authenticator } from './authenticator.service.js';
import { type CredentialSource, credentialsIn } from './credentials.js';
import { isAdmin, type Principal, type PrincipalRole } from './principal.js';
import { Public, Roles } from './auth.decorators.js';

/** A request, with what the guard adds to it. */
export interface AuthenticatedRequest {
  /** The request of `node:http` below Fastify's. */
  raw: CredentialSource;
  principal?: Principal;
}

/**
 * Guards every HTTP route: one without `@Public()` needs a credential, one with `@Roles()` also the
 * role. The services decide which data the caller may see.
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
    requireRole(principal, this.reflector.getAllAndOverride(Roles, targets));
    return true;
  }

  private async principalOf(context: ExecutionContext): Promise<Principal> {
    const request = context.switchToHttp().getRequest<AuthenticatedRequest>();
    return (request.principal = await this.authenticator.authenticate(credentialsIn(request.raw)));
  }
}

function requireRole(principal: Principal, role: PrincipalRole | undefined): void {
  if (role === undefined || isAdmin(principal) || principal.roles.has(role)) return;
  throw new AppError('forbidden', 'role_required', `This call needs the role ${role}.`);
}

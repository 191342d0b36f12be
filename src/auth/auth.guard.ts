import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { AppError } from '../shared/app-error.js';
import { Authenticator } from './authenticator.service.js';
import { type CredentialSource, credentialsIn } from './credentials.js';
import { isAdmin, type Principal, type PrincipalRole } from './principal.js';
import { Public } from './public.decorator.js';
import { Roles } from './roles.decorator.js';

/** What the guard adds to a request that it lets pass. */
export interface AuthenticatedRequest {
  /** The request of `node:http` below Fastify's. */
  raw: CredentialSource;
  principal?: Principal;
}

/**
 * Stands before every HTTP route: who calls, and may it call this? A route without `@Public()` needs
 * a credential, a route with `@Roles()` also the role. Whose data it is, the services decide.
 */
@Injectable()
export class AuthGuard implements CanActivate {
  constructor(
    private readonly reflector: Reflector,
    private readonly authenticator: Authenticator,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    // A socket was authenticated at its handshake; Nest runs guards only per message, too late.
    if (context.getType() === 'ws') return true;
    // What nobody has thought about is closed.
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

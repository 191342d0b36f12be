import { Reflector } from '@nestjs/core';
import type { Principal } from './principal.js';
import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import { AppError } from '../shared/app-error.js';
import { ActorPipe, type ActorRequest } from './actor.pipe.js';
import type { AuthenticatedRequest } from './auth.guard.js';

/** `@CurrentPrincipal() principal: Principal`: the caller, as the guard has verified it. */
export const CurrentPrincipal = createParamDecorator(
  (_: undefined, context: ExecutionContext): Principal =>
    principalOf(context.switchToHttp().getRequest<AuthenticatedRequest>()),
);

const AuthenticatedCall = createParamDecorator(
  (_: undefined, context: ExecutionContext): ActorRequest => {
    const request = context.switchToHttp().getRequest<ActorRequest>();
    return { raw: request.raw, principal: principalOf(request) };
  },
);

/**
 * `@CurrentActor() actor: Actor`: the caller of a route that changes something, for the audit log. Apart
 * from `CurrentPrincipal`, so that other routes do not look for the address of the client.
 */
export const CurrentActor = (): ParameterDecorator => AuthenticatedCall(ActorPipe);

function principalOf({ principal }: { principal?: Principal }): Principal {
  // Only a public route can have none here; it must not run without a caller.
  if (!principal) {
    throw new AppError('unauthenticated', 'missing_credentials', 'This call needs a credential.');
  }
  return principal;
}

/** `@Public()`: the guard of all routes asks for no credential, and reads none. */
export const Public = Reflector.createDecorator<void, true>({ transform: () => true });

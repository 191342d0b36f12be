import { Reflector } from '@nestjs/core';
import type { Principal } from './principal.js';
import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import { AppError } from '../shared/app-error.js';
import type { AuthenticatedRequest } from './auth.guard.js';

/** `@CurrentPrincipal() principal: Principal`: the caller, as the guard has verified it. */
export const CurrentPrincipal = createParamDecorator(
  (_: undefined, context: ExecutionContext): Principal => {
    const { principal } = context.switchToHttp().getRequest<AuthenticatedRequest>();
    // Only a public route can have none here; it must not run without a caller.
    if (!principal) {
      throw new AppError('unauthenticated', 'missing_credentials', 'This call needs a credential.');
    }
    return principal;
  },
);

/** `@Public()`: the guard of all routes asks for no credential, and reads none. */
export const Public = Reflector.createDecorator<void, true>({ transform: () => true });

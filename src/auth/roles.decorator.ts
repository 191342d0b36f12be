import { Reflector } from '@nestjs/core';
import type { PrincipalRole } from './principal.js';

/** `@Roles('publisher')`: the caller needs this role. An admin needs no other role than its own. */
export const Roles = Reflector.createDecorator<PrincipalRole>();

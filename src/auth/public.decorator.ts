import { Reflector } from '@nestjs/core';

/** `@Public()`: anybody may call this controller or route; no credential is looked at. */
export const Public = Reflector.createDecorator<void, true>({ transform: () => true });

import { Reflector } from '@nestjs/core';

/** `@Public()`: this controller or route needs no credential, and none is read. */
export const Public = Reflector.createDecorator<void, true>({ transform: () => true });

import { Injectable, StandardSchemaValidationPipe } from '@nestjs/common';
import { InvalidInputError } from '../shared/app-error.js';
import { fieldErrors } from '../shared/field-errors.js';

/** Checks every `@Body`, `@Query` and `@Param` that names a schema; refusals name the fields. */
@Injectable()
export class ValidationPipe extends StandardSchemaValidationPipe {
  constructor() {
    super({ exceptionFactory: (issues) => new InvalidInputError(fieldErrors(issues)) });
  }

  /**
   * Does nothing: the framework's own would silently drop a member called `constructor` from an
   * event's data. `__proto__` has been refused before, when the body was parsed.
   */
  protected override stripProtoKeys(): void {}
}

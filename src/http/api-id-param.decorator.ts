import { ApiParam } from '@nestjs/swagger';
import type { IdPrefix } from '../shared/ids.js';
import { exampleId } from '../shared/zod-fields.js';

/**
 * Documents an id in a path, e.g. `@ApiIdParam('wh', 'webhook')`.
 * @param name of the parameter in the path
 */
export const ApiIdParam = (prefix: IdPrefix, thing: string, name = 'id'): MethodDecorator =>
  ApiParam({ name, description: `Id of the ${thing}.`, example: exampleId(prefix) });

import { applyDecorators, Controller, HttpCode } from '@nestjs/common';
import {
  ApiBearerAuth,
  ApiOperation,
  ApiParam,
  ApiResponse,
  type ApiResponseNoStatusOptions,
  ApiSecurity,
  ApiTags,
} from '@nestjs/swagger';
import type { ZodType } from 'zod';
import type { IdPrefix } from '../shared/ids.js';
import { exampleId } from '../shared/zod-fields.js';
import { documentedProblem, type ProblemStatus } from './problem.js';

/** A controller whose routes take a token or an API key. */
export const ApiController = (path: string, tag: string): ClassDecorator =>
  applyDecorators(Controller(path), ApiTags(tag), ApiSecurity('api-key'), ApiBearerAuth('jwt'));

/** What a route answers when it succeeds. */
interface Answer {
  status?: number;
  /** Absent: no body. */
  schema?: ZodType;
  /** What the answer means, or holds. */
  answer: string;
  /** For an answer that is not JSON, in the words of OpenAPI. */
  content?: ApiResponseNoStatusOptions['content'];
}

interface Route extends Answer {
  summary: string;
  description: string;
  /** Of the answer, also in reality; 200 unless said otherwise. */
  status?: number;
  /** A second answer, whose status the route sets itself. */
  otherwise?: Answer & { status: number };
  /** Refusals beside those that the framework makes for every route of its kind. */
  problems?: readonly ProblemStatus[];
  /** Takes no credential. */
  isPublic?: boolean;
}

/** Documents a route, and sets the status of its answer. */
export function ApiRoute(route: Route): MethodDecorator {
  const { summary, description, status = 200, otherwise, problems = [], isPublic } = route;
  return applyDecorators(
    ...(otherwise ? [documented(otherwise)] : [HttpCode(status)]),
    ApiOperation({ summary, description, ...(isPublic && { security: [] }) }),
    documented({ ...route, status }),
    ApiProblems(...problems),
  );
}

const documented = ({ status, schema, answer, content }: Answer): MethodDecorator =>
  ApiResponse({
    ...(status !== undefined && { status }),
    ...(schema && { standardSchema: schema }),
    description: answer,
    ...(content && { content }),
  });

/** Documents the refusals of a route, e.g. `@ApiProblems(401, 404)`. */
const ApiProblems = (...statuses: readonly ProblemStatus[]): MethodDecorator =>
  applyDecorators(
    ...statuses.map((status) => ApiResponse({ status, ...documentedProblem(status) })),
  );

/**
 * Documents an id in a path, e.g. `@ApiIdParam('wh', 'webhook')`.
 * @param name of the parameter in the path
 */
export const ApiIdParam = (prefix: IdPrefix, thing: string, name = 'id'): MethodDecorator =>
  ApiParam({ name, description: `Id of the ${thing}.`, example: exampleId(prefix) });

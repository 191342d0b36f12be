import { applyDecorators, Controller, HttpCode } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
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
import { type Ability, rolesWith } from '../shared/roles.js';
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

/** What the caller of a route has to be able to do; the guard of all routes reads it. */
export const Needs = Reflector.createDecorator<Ability>();

type Callers =
  /** What the caller needs; its roles are documented. */
  | { needs: Ability; isPublic?: never }
  /** Takes no credential. */
  | { isPublic: true; needs?: never };

interface RouteDescription extends Answer {
  summary: string;
  description: string;
  /** Of the answer, also in reality; 200 unless said otherwise. */
  status?: number;
  /** A second answer, whose status the route sets itself. */
  otherwise?: Answer & { status: number };
  /** Refusals beside those that the framework makes for every route of its kind. */
  problems?: readonly ProblemStatus[];
}

type Route = RouteDescription & Callers;

/** Documents a route, sets the status of its answer, and says who may call it. */
export function ApiRoute(route: Route): MethodDecorator {
  const { summary, status = 200, otherwise, problems = [], isPublic, needs } = route;
  const description = needs ? `${route.description} ${rolesNote(needs)}` : route.description;
  return applyDecorators(
    ...(otherwise ? [documented(otherwise)] : [HttpCode(status)]),
    ...(needs ? [Needs(needs), ApiProblems(403)] : []),
    ApiOperation({ summary, description, ...(isPublic && { security: [] }) }),
    documented({ ...route, status }),
    ApiProblems(...problems),
  );
}

function rolesNote(needs: Ability): string {
  const roles = rolesWith(needs).map((role) => `\`${role}\``);
  return `For ${roles.length === 1 ? 'the role' : 'the roles'} ${roles.join(', ')}.`;
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

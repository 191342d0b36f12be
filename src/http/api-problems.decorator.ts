import { applyDecorators } from '@nestjs/common';
import { ApiResponse } from '@nestjs/swagger';
import { z } from 'zod';

/**
 * The one shape of every refusal (RFC 9457). The documentation refers to it as
 * `#/components/schemas/Problem`; whoever assembles the document adds it there.
 */
export const Problem = z
  .object({
    type: z.string().describe('Identifies the kind of problem; `about:blank`: see `code`.'),
    title: z.string().describe('Short name of the status.'),
    status: z.int().describe('HTTP status, the same as that of the answer.'),
    detail: z.string().describe('One sentence for a person.'),
    code: z.string().describe('Stable, machine-readable name of what went wrong.'),
    errors: z
      .array(
        z.object({
          field: z.string().describe('Where it stands in the input, e.g. `events[3].type`.'),
          message: z.string().describe('What is wrong with it.'),
        }),
      )
      .optional()
      .describe('The fields at fault, for input that was refused.'),
  })
  .meta({
    id: 'Problem',
    examples: [
      {
        type: 'about:blank',
        title: 'Not Found',
        status: 404,
        detail: 'No webhook has the id wh_01h455vb4pex5vsknk084sn02q.',
        code: 'webhook_not_found',
      },
    ],
  });

const DESCRIPTIONS = {
  400: 'The request could not be read, e.g. because its body is broken JSON.',
  401: 'No credential, or one that is expired, revoked or not acceptable.',
  403: 'The credential is good but does not allow this.',
  404: 'It does not exist, or it belongs to another owner.',
  409: 'It contradicts the present state.',
  413: 'The request is too large.',
  415: 'The body is not `application/json`, or it is compressed.',
  422: 'The input was understood and refused; `errors` names the fields.',
  429: 'Too many requests; `Retry-After` says when to come back.',
  503: 'A store is not answering; nothing was accepted, and the call may be repeated.',
} as const;

/** Statuses that are answered as `application/problem+json`. */
export type ProblemStatus = keyof typeof DESCRIPTIONS;

/** The documentation of one refusal. */
export const problemResponse = (status: ProblemStatus) => ({
  description: DESCRIPTIONS[status],
  content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
});

/** Documents the refusals of a route, e.g. `@ApiProblems(401, 404)`. */
export const ApiProblems = (...statuses: ProblemStatus[]): MethodDecorator & ClassDecorator =>
  applyDecorators(...statuses.map((status) => ApiResponse({ status, ...problemResponse(status) })));

/**
 * Problem details (RFC 9457): the one table of statuses, codes and titles, and every form in which a
 * refusal is written.
 */
import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import type { AppError, ErrorKind, FieldError } from '../shared/app-error.js';
import { SECURITY_HEADERS } from './security-headers.js';

interface Status {
  title: string;
  /** The code where the framework refuses, before any code of ours runs. */
  code?: string;
  /** For the documentation; only these statuses can be documented for a route. */
  description?: string;
}

const STATUSES = {
  400: {
    title: 'Bad Request',
    code: 'malformed_request',
    description: 'The request could not be read, e.g. because its body is broken JSON.',
  },
  401: {
    title: 'Unauthorized',
    description: 'No credential, or one that is expired, revoked or not acceptable.',
  },
  403: { title: 'Forbidden', description: 'The credential is good but does not allow this.' },
  404: {
    title: 'Not Found',
    code: 'route_not_found',
    description: 'It does not exist, or it belongs to another owner.',
  },
  405: { title: 'Method Not Allowed', code: 'method_not_allowed' },
  406: { title: 'Not Acceptable' },
  408: { title: 'Request Timeout', code: 'request_timeout' },
  409: { title: 'Conflict', description: 'It contradicts the present state.' },
  412: { title: 'Precondition Failed' },
  413: {
    title: 'Payload Too Large',
    code: 'body_too_large',
    description: 'The body is larger than 256 KiB.',
  },
  414: { title: 'URI Too Long', code: 'uri_too_long' },
  415: {
    title: 'Unsupported Media Type',
    code: 'unsupported_media_type',
    description: 'The body is not `application/json`, or it is compressed.',
  },
  416: { title: 'Range Not Satisfiable' },
  422: {
    title: 'Unprocessable Entity',
    description: 'The input was understood and refused; `errors` names the fields.',
  },
  429: {
    title: 'Too Many Requests',
    description: 'Too many requests; `Retry-After` says when to come back.',
  },
  431: { title: 'Request Header Fields Too Large', code: 'headers_too_large' },
  500: { title: 'Internal Server Error', code: 'internal_error' },
  503: {
    title: 'Service Unavailable',
    description: 'A store is not answering; nothing was accepted, and the call may be repeated.',
  },
} satisfies Record<number, Status>;

type KnownStatus = keyof typeof STATUSES;

/** Statuses that a route can document. */
export type ProblemStatus = {
  [S in KnownStatus]: (typeof STATUSES)[S] extends { description: string } ? S : never;
}[KnownStatus];

const STATUS_OF_KIND: Record<ErrorKind, KnownStatus> = {
  malformed: 400,
  unauthenticated: 401,
  forbidden: 403,
  not_found: 404,
  conflict: 409,
  too_large: 413,
  unsupported: 415,
  invalid: 422,
  too_many_requests: 429,
  unavailable: 503,
};

/** The body of a refusal. The documentation refers to it as `#/components/schemas/Problem`. */
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
export type Problem = z.infer<typeof Problem>;

const MAX_FRAMEWORK_DETAIL = 300;

function problem(status: number, code: string, detail: string, errors?: FieldError[]): Problem {
  const title = statusOf(status)?.title ?? 'Error';
  return { type: 'about:blank', title, status, detail, code, errors };
}

const statusOf = (status: number): Status | undefined =>
  (STATUSES as Record<number, Status>)[status];

/** The refusal that an error of ours stands for. */
export const problemOf = ({ kind, code, detail, errors }: AppError): Problem =>
  problem(STATUS_OF_KIND[kind], code, detail, errors);

/** A refusal that the framework makes, or an internal error. */
export const frameworkProblem = (status: number, detail: string): Problem =>
  problem(status, statusOf(status)?.code ?? 'refused', detail.slice(0, MAX_FRAMEWORK_DETAIL));

/** The headers of a refusal. */
export const problemHeaders = ({ status }: Problem): Record<string, string> => ({
  'content-type': 'application/problem+json; charset=utf-8',
  // RFC 9110, 11.6.1: a 401 names the scheme that would be accepted.
  ...(status === 401 && { 'www-authenticate': 'Bearer realm="tidings"' }),
  ...((status === 429 || status === 503) && { 'retry-after': '1' }),
});

/** A whole HTTP/1.1 response, for sockets without a response object; the connection ends after it. */
export function problemResponse(given: Problem): string {
  const body = JSON.stringify(given);
  const headers = {
    ...SECURITY_HEADERS,
    ...problemHeaders(given),
    'x-request-id': randomUUID(),
    'content-length': Buffer.byteLength(body),
    connection: 'close',
  };
  return [
    `HTTP/1.1 ${given.status} ${given.title}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    '',
    body,
  ].join('\r\n');
}

/** The documentation of one refusal. */
export const documentedProblem = (status: ProblemStatus) => ({
  description: STATUSES[status].description,
  content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
});

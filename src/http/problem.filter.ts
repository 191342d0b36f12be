import { STATUS_CODES } from 'node:http';
import {
  type ArgumentsHost,
  Catch,
  type ExceptionFilter,
  HttpException,
  Logger,
} from '@nestjs/common';
import {
  AppError,
  type ErrorKind,
  type FieldError,
  UnavailableError,
} from '../shared/app-error.js';
import { logFailure } from '../shared/log-failure.js';
import { isStoreOutage } from '../database/sql-errors.js';

/** What Fastify's reply offers, as far as it is used here. */
interface Reply {
  status(code: number): Reply;
  header(name: string, value: string): Reply;
  type(contentType: string): Reply;
  send(body: string): unknown;
}

/** An answer in the form of RFC 9457. */
export interface ProblemBody {
  type: 'about:blank';
  title: string;
  status: number;
  detail: string;
  code: string;
  errors?: FieldError[] | undefined;
}

const STATUS: Record<ErrorKind, number> = {
  malformed: 400,
  unauthenticated: 401,
  forbidden: 403,
  not_found: 404,
  conflict: 409,
  too_large: 413,
  unsupported: 415,
  invalid: 422,
  unavailable: 503,
};

const RETRY_AFTER_S = '1';

/** Names for refusals that the framework makes before any code of ours runs. */
const FRAMEWORK_CODES: Record<number, string> = {
  400: 'malformed_request',
  404: 'route_not_found',
  405: 'method_not_allowed',
  408: 'request_timeout',
  413: 'body_too_large',
  414: 'uri_too_long',
  415: 'unsupported_media_type',
  431: 'headers_too_large',
};

/**
 * The one place that turns an error into an answer. Errors of ours are told as they are; what nobody
 * foresaw is logged with its stack and told as nothing but an internal error.
 */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  private readonly logger = new Logger(ProblemFilter.name);

  catch(error: unknown, host: ArgumentsHost): void {
    const problem = this.problemOf(error);
    const reply = host.switchToHttp().getResponse<Reply>();
    if (problem.status === 503) reply.header('retry-after', RETRY_AFTER_S);
    reply
      .status(problem.status)
      .type('application/problem+json; charset=utf-8')
      .send(JSON.stringify(problem));
  }

  private problemOf(error: unknown): ProblemBody {
    if (error instanceof AppError) return fromAppError(error);
    if (error instanceof HttpException) return fromFramework(error);
    if (isStoreOutage(error)) {
      logFailure(this.logger, 'error', 'a store is not answering', error);
      return fromAppError(new UnavailableError('A store is not answering; please try again.'));
    }
    logFailure(this.logger, 'error', 'a request failed', error);
    return problem(500, 'internal_error', 'Something went wrong on our side.');
  }
}

/** The body of a problem, for answers that are made without the filter. */
export const problem = (
  status: number,
  code: string,
  detail: string,
  errors?: FieldError[],
): ProblemBody => ({
  type: 'about:blank',
  title: STATUS_CODES[status] ?? 'Error',
  status,
  detail,
  code,
  errors,
});

const fromAppError = ({ kind, code, detail, errors }: AppError): ProblemBody =>
  problem(STATUS[kind], code, detail, errors);

const fromFramework = (error: HttpException): ProblemBody =>
  frameworkProblem(error.getStatus(), error.message);

/** The body of a refusal that was made before any code of ours ran. */
export const frameworkProblem = (status: number, message: string): ProblemBody =>
  problem(status, FRAMEWORK_CODES[status] ?? 'refused', message.slice(0, 300));

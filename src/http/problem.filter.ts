import type { IncomingMessage } from 'node:http';
import {
  type ArgumentsHost,
  Catch,
  type ExceptionFilter,
  HttpException,
  Logger,
} from '@nestjs/common';
import { isStoreOutage } from '../database/sql-errors.js';
import { AppError, UnavailableError } from '../shared/app-error.js';
import { logFailure } from '../shared/log-failure.js';
import type { Reply } from './fastify-types.js';
import { frameworkProblem, type Problem, problemHeaders, problemOf } from './problem.js';

/**
 * Turns every error of a route into a response. An unexpected one is logged, and the client learns
 * nothing of it.
 */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  private readonly logger = new Logger(ProblemFilter.name);

  catch(error: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const { raw } = http.getRequest<{ raw: IncomingMessage }>();
    const problem = isAborted(raw) ? ABORTED : this.problemFor(error);
    sendProblem(http.getResponse<Reply>(), problem);
  }

  private problemFor(error: unknown): Problem {
    if (error instanceof AppError) return problemOf(error);
    if (error instanceof HttpException) return frameworkProblem(error.getStatus(), error.message);
    if (isStoreOutage(error)) {
      logFailure(this.logger, 'error', 'a store is not answering', error);
      return problemOf(new UnavailableError('A store is not answering; please try again.'));
    }
    logFailure(this.logger, 'error', 'a request failed', error);
    return frameworkProblem(500, 'Something went wrong on our side.');
  }
}

/** The caller closed the connection within its request: nothing of ours has failed. */
const isAborted = (raw: IncomingMessage): boolean => raw.destroyed && !raw.complete;

const ABORTED = frameworkProblem(400, 'The request ended before its body.');

/** Answers a request with a problem. */
export function sendProblem(reply: Pick<Reply, 'status'>, problem: Problem): unknown {
  return reply
    .status(problem.status)
    .headers(problemHeaders(problem))
    .send(JSON.stringify(problem));
}

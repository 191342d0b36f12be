import type { IncomingMessage } from 'node:http';
import { type ArgumentsHost, Catch, type ExceptionFilter } from '@nestjs/common';
import { isStoreOutage } from '../../../database/sql-errors.js';
import type { Reply } from '../../../http/fastify-types.js';
import { ProblemFilter } from '../../../http/problem.filter.js';
import { AppError, UnavailableError } from '../../../shared/app-error.js';
import { CLOSE_REASONS, passingReason } from '../../close-codes.js';
import { EVENT_STREAM_HEADERS, refusalBlock } from './event-stream.connection.js';

/**
 * `EventSource` stops for good after any status but 200 (WHATWG HTML, 9.2.2), and reconnects after a
 * stream that ends. So it gets a stream when it is refused for now: how long to wait, the reason, and
 * the end. Other clients, and other refusals, get a problem.
 */
@Catch()
export class EventStreamRefusalFilter extends ProblemFilter implements ExceptionFilter {
  override catch(error: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const { headers } = http.getRequest<{ raw: IncomingMessage }>().raw;
    const reason = asksForStream(headers) ? passingReason(refusalOf(error)) : undefined;
    if (!reason) return super.catch(error, host);
    const { message } = CLOSE_REASONS[reason];
    http
      .getResponse<Reply>()
      .status(200)
      .headers(EVENT_STREAM_HEADERS)
      .send(refusalBlock({ code: reason, message, reconnect: true }));
  }
}

/** `EventSource`, and most libraries like it, send this; tools that only look send any type. */
const asksForStream = ({ accept = '' }: IncomingMessage['headers']): boolean =>
  accept.toLowerCase().includes('text/event-stream');

function refusalOf(error: unknown): AppError {
  if (error instanceof AppError) return error;
  if (isStoreOutage(error)) return new UnavailableError('A store is not answering.');
  return new AppError('malformed', 'unknown', 'It is not a refusal.');
}

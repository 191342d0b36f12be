import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { lingeringClose } from './lingering-close.js';
import { frameworkProblem, problemResponse } from './problem.js';

const TIMEOUT = { status: 408, detail: 'The request did not arrive in time.' };
const HEADERS_TOO_LARGE = { status: 431, detail: 'The headers are larger than 16 KiB.' };
const MALFORMED = { status: 400, detail: 'This is not an HTTP request.' };

const REFUSALS: Record<string, typeof MALFORMED> = {
  ERR_HTTP_REQUEST_TIMEOUT: TIMEOUT,
  HPE_HEADER_OVERFLOW: HEADERS_TOO_LARGE,
};

/** With the response that is being made for the request before; Node keeps it there. */
type HttpSocket = Socket & { _httpMessage?: ServerResponse | null };

/** Answers what Node's own parser refuses: there is no request yet, only a socket. */
export function answerClientError(error: NodeJS.ErrnoException, socket: HttpSocket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  if (!socket.writable || isAnsweringAnother(socket)) return void socket.destroy(error);
  const { status, detail } = REFUSALS[error.code ?? ''] ?? MALFORMED;
  socket.write(problemResponse(frameworkProblem(status, detail)));
  lingeringClose(socket);
}

/** The client would take the refusal for the response that it waits for, or for a part of it. */
const isAnsweringAnother = ({ _httpMessage: response }: HttpSocket): boolean =>
  response ? response.headersSent || response.req.complete : false;

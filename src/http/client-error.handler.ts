import type { Socket } from 'node:net';
import { frameworkProblem, problemResponse } from './problem.js';

const TIMEOUT = { status: 408, detail: 'The request did not arrive in time.' };
const HEADERS_TOO_LARGE = { status: 431, detail: 'The headers are larger than 16 KiB.' };
const MALFORMED = { status: 400, detail: 'This is not an HTTP request.' };

const REFUSALS: Record<string, typeof MALFORMED> = {
  ERR_HTTP_REQUEST_TIMEOUT: TIMEOUT,
  HPE_HEADER_OVERFLOW: HEADERS_TOO_LARGE,
};

/** Answers what Node's own parser refuses: there is no request yet, only a socket. */
export function answerClientError(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  const { status, detail } = REFUSALS[error.code ?? ''] ?? MALFORMED;
  if (socket.writable) socket.write(problemResponse(frameworkProblem(status, detail)));
  socket.destroy(error);
}

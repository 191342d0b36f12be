import type { Socket } from 'node:net';
import { frameworkProblem } from './problem.filter.js';

const TOO_LATE = { status: 408, detail: 'The request did not arrive in time.' };
const HEADERS_TOO_LARGE = { status: 431, detail: 'The headers are larger than 16 KiB.' };
const MALFORMED = { status: 400, detail: 'This is not an HTTP request.' };

const ANSWERS: Record<string, typeof MALFORMED> = {
  ERR_HTTP_REQUEST_TIMEOUT: TOO_LATE,
  HPE_HEADER_OVERFLOW: HEADERS_TOO_LARGE,
};

/** Answers what Node's own parser refuses: there is no request yet, only a socket. */
export function answerClientError(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  const { status, detail } = ANSWERS[error.code ?? ''] ?? MALFORMED;
  const problem = frameworkProblem(status, detail);
  const body = JSON.stringify(problem);
  if (socket.writable) {
    socket.write(
      `HTTP/1.1 ${status} ${problem.title}\r\n` +
        'content-type: application/problem+json; charset=utf-8\r\n' +
        `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
    );
  }
  socket.destroy(error);
}

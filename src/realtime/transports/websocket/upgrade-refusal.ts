/** The answer to an upgrade that is refused: there is a socket, and no response object. */
import type { AppError, ErrorKind } from '../../../shared/app-error.js';

const STATUS: Record<ErrorKind, [status: number, title: string]> = {
  malformed: [400, 'Bad Request'],
  unauthenticated: [401, 'Unauthorized'],
  forbidden: [403, 'Forbidden'],
  not_found: [404, 'Not Found'],
  conflict: [409, 'Conflict'],
  too_large: [413, 'Payload Too Large'],
  unsupported: [415, 'Unsupported Media Type'],
  invalid: [422, 'Unprocessable Entity'],
  unavailable: [503, 'Service Unavailable'],
};

/** An HTTP/1.1 response that says why, in the form of RFC 9457, and closes. */
export function refusalText({ kind, code, detail, errors }: AppError): string {
  const [status, title] = STATUS[kind];
  const body = JSON.stringify({ type: 'about:blank', title, status, detail, code, errors });
  return [
    `HTTP/1.1 ${status} ${title}`,
    'content-type: application/problem+json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
    // RFC 9110, 11.6.1: a 401 names the scheme that would be accepted.
    ...(status === 401 ? ['www-authenticate: Bearer realm="tidings"'] : []),
    ...(status === 503 ? ['retry-after: 1'] : []),
    '',
    body,
  ].join('\r\n');
}

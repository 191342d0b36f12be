import { STATUS_CODES } from 'node:http';
import { describe, expect, it } from 'vitest';
import { SECURITY_HEADERS } from './security-headers.js';
import { AppError, InvalidInputError, UnavailableError } from '../shared/app-error.js';
import { frameworkProblem, problemOf, problemResponse } from './problem.js';

describe('a problem', () => {
  it.each([
    400, 401, 403, 404, 405, 406, 408, 409, 412, 413, 414, 415, 416, 422, 429, 431, 500, 503,
  ])('names the status %i as Node does', (status) => {
    expect(frameworkProblem(status, '').title).toBe(STATUS_CODES[status]);
  });

  it('has a code also for a status that nothing is known of', () => {
    expect(frameworkProblem(418, 'I am a teapot.')).toEqual({
      type: 'about:blank',
      title: 'Error',
      status: 418,
      detail: 'I am a teapot.',
      code: 'refused',
    });
  });
});

describe(problemResponse.name, () => {
  it('is a whole response with the fields at fault', () => {
    const [head = '', body = ''] = problemResponse(
      problemOf(InvalidInputError.at('Ä', 'is missing')),
    ).split('\r\n\r\n');
    const headers = head.split('\r\n');
    expect(headers.filter((line) => /^x-request-id: [\da-f-]{36}$/.test(line))).toHaveLength(1);
    expect(headers.filter((line) => !line.startsWith('x-request-id'))).toEqual([
      'HTTP/1.1 422 Unprocessable Entity',
      ...Object.entries(SECURITY_HEADERS).map(([name, value]) => `${name}: ${value}`),
      'content-type: application/problem+json; charset=utf-8',
      `content-length: ${Buffer.byteLength(body)}`,
      'connection: close',
    ]);
    expect(JSON.parse(body)).toMatchObject({ errors: [{ field: 'Ä', message: 'is missing' }] });
  });

  it.each([
    [
      new AppError('unauthenticated', 'token_expired', ''),
      'www-authenticate: Bearer realm="tidings"',
    ],
    [new UnavailableError(''), 'retry-after: 1'],
  ])('has the headers that belong to the status of %s', (error, header) => {
    expect(problemResponse(problemOf(error))).toContain(`\r\n${header}\r\n`);
  });
});

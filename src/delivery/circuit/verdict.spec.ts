import { describe, expect, it } from 'vitest';
import type { AttemptResult } from '../../outbound/attempt-result.js';
import { verdictOf } from './verdict.js';

const answered = (statusCode: number): AttemptResult => ({
  kind: 'responded',
  statusCode,
  durationMs: 1,
  body: null,
  retryAfter: null,
});

describe(verdictOf.name, () => {
  it.each([
    [200, 'success'],
    [299, 'success'],
    [302, 'failure'],
    [400, 'failure'],
    [410, 'neutral'],
    [429, 'failure'],
    [500, 'failure'],
    [503, 'failure'],
  ])('takes an answer of %d as %s', (statusCode, verdict) => {
    expect(verdictOf(answered(statusCode))).toBe(verdict);
  });

  it.each([
    ['dns', 'failure'],
    ['connect', 'failure'],
    ['tls', 'failure'],
    ['timeout', 'failure'],
    ['http', 'failure'],
    ['bad_response', 'failure'],
    ['blocked', 'neutral'],
  ] as const)('takes the error %s as %s', (error, verdict) => {
    expect(verdictOf({ kind: 'failed', error, durationMs: 1 })).toBe(verdict);
  });
});

import { describe, expect, it } from 'vitest';
import { AppError, UnavailableError } from '../shared/app-error.js';
import { CLOSE_REASONS, type CloseReason, mayReconnect, passingReason } from './close-codes.js';

const reasons = Object.keys(CLOSE_REASONS) as CloseReason[];

describe('close codes', () => {
  it('are different, and lie in the range that is left to applications', () => {
    const codes = reasons.map((reason) => CLOSE_REASONS[reason].code);
    expect(new Set(codes).size).toBe(codes.length);
    expect(codes.filter((code) => code < 3000 || code > 3999)).toEqual([]);
  });

  it('say by their range whether to connect again', () => {
    expect(reasons.filter((reason) => !mayReconnect(reason))).toEqual([
      'invalid_api_key',
      'api_key_expired',
      'replaced',
      'closed_by_operator',
    ]);
    for (const reason of reasons) {
      expect(mayReconnect(reason)).toBe(CLOSE_REASONS[reason].code < 3500);
    }
  });

  it('come with a reason that fits a closing frame', () => {
    for (const reason of reasons) expect(Buffer.byteLength(reason)).toBeLessThanOrEqual(123);
  });
});

describe(passingReason, () => {
  it.each([
    ['unavailable', 'too_many_connections', 'too_many_connections'],
    ['unavailable', 'draining', 'draining'],
    ['unavailable', 'something_new', 'temporarily_unavailable'],
    ['unavailable', 'constructor', 'temporarily_unavailable'],
    ['unauthenticated', 'token_expired', undefined],
    ['unauthenticated', 'invalid_api_key', undefined],
    ['forbidden', 'origin_not_allowed', undefined],
    ['invalid', 'invalid_input', undefined],
  ] as const)('of %s: %s is %s', (kind, code, expected) => {
    expect(passingReason(new AppError(kind, code, ''))).toBe(expected);
  });

  it('is always one after which a client may reconnect', () => {
    for (const reason of reasons) {
      const passing = passingReason(new AppError('unavailable', reason, ''));
      if (mayReconnect(reason)) expect(passing).toBe(reason);
    }
    expect(passingReason(new UnavailableError(''))).toBe('temporarily_unavailable');
  });
});

import jwt from 'jsonwebtoken';
import { describe, expect, it } from 'vitest';
import { signDevelopmentToken } from './development-token.js';

const SECRET = 'a-secret-of-the-development-machine';
const now = Date.parse('2026-01-31T12:00:00.500Z');
const clockTimestamp = Math.floor(now / 1000);

describe(signDevelopmentToken, () => {
  it('signs an admin token for thirty days', () => {
    const claims = jwt.verify(signDevelopmentToken({}, SECRET, now), SECRET, { clockTimestamp });
    expect(claims).toEqual({
      sub: 'admin',
      roles: ['admin'],
      iat: clockTimestamp,
      exp: clockTimestamp + 30 * 86_400,
    });
  });

  it('names the configured issuer and audience', () => {
    const token = signDevelopmentToken({ issuer: 'idp', audience: 'tidings' }, SECRET, now);
    expect(
      jwt.verify(token, SECRET, { clockTimestamp, issuer: 'idp', audience: 'tidings' }),
    ).toMatchObject({
      iss: 'idp',
      aud: 'tidings',
    });
  });
});

/** A token for the first steps, on a machine where no issuer was configured. */
import jwt from 'jsonwebtoken';
import type { AuthConfig } from '../config/env.js';

const VALID_FOR_DAYS = 30;

/**
 * An admin token under the shared secret, with the configured issuer and audience.
 *
 * @param nowMs milliseconds since 1970; the token ends 30 days later
 */
export function signDevelopmentToken(
  { issuer, audience }: Pick<AuthConfig, 'issuer' | 'audience'>,
  secret: string,
  nowMs: number,
): string {
  const iat = Math.floor(nowMs / 1000);
  const claims = {
    sub: 'admin',
    roles: ['admin'],
    iat,
    exp: iat + VALID_FOR_DAYS * 86_400,
    ...(issuer !== undefined && { iss: issuer }),
    ...(audience !== undefined && { aud: audience }),
  };
  return jwt.sign(claims, secret, { algorithm: 'HS256' });
}

import jwt from 'jsonwebtoken';

export const JWT_SECRET = 'a-secret-that-only-the-tests-know-0123456789';

/** A bearer token, signed as by an issuer. Without `tenant`, the user is the owner too. */
export function tokenFor(
  sub: string,
  claims: { roles?: string[]; topics?: string[]; tenant?: string; expiresInS?: number } = {},
): string {
  const { roles = ['manager', 'publisher', 'subscriber'], expiresInS = 3600, ...others } = claims;
  const payload = { sub, roles, ...others };
  return jwt.sign(payload, JWT_SECRET, { algorithm: 'HS256', expiresIn: expiresInS });
}

export const adminToken = (): string => tokenFor('root', { roles: ['admin'] });

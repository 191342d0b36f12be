import jwt from 'jsonwebtoken';

export const JWT_SECRET = 'a-secret-that-only-the-tests-know-0123456789';

/** A bearer token, signed as by an issuer. */
export function tokenFor(
  owner: string,
  claims: { roles?: string[]; topics?: string[]; expiresInS?: number } = {},
): string {
  const { roles = ['manager', 'publisher', 'subscriber'], topics, expiresInS = 3600 } = claims;
  const payload = { sub: owner, roles, ...(topics && { topics }) };
  return jwt.sign(payload, JWT_SECRET, { algorithm: 'HS256', expiresIn: expiresInS });
}

export const adminToken = (): string => tokenFor('root', { roles: ['admin'] });

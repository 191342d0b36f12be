/** Where the handshake of a Socket.IO connection carries the credential. */
import {
  type CredentialSource,
  type Credentials,
  credentialsIn,
} from '../../../auth/credentials.js';
import { invalidToken } from '../../../auth/jwt-rules.js';
import { AppError } from '../../../shared/app-error.js';

/** The part of Socket.IO's handshake that is read; nothing in it is verified. */
export interface Handshake {
  /** What the client gave as `auth`. */
  auth: unknown;
  query: Readonly<Record<string, unknown>>;
}

const IN_QUERY = new Set([
  'token',
  'access_token',
  'authorization',
  'apikey',
  'api_key',
  'x-api-key',
]);

/**
 * `auth.token`, which every client can set, or else the headers. `auth.token` wins: a proxy may have
 * added an `Authorization` header of its own.
 *
 * @throws AppError `token_in_query`: addresses end up in access logs; `ambiguous_credentials`,
 * `invalid_token`
 */
export function credentialsOf({ auth, query }: Handshake, request: CredentialSource): Credentials {
  if (Object.keys(query).some((name) => IN_QUERY.has(name.toLowerCase()))) {
    throw new AppError(
      'unauthenticated',
      'token_in_query',
      'A credential does not belong in the address. Send it as auth.token or in a header.',
    );
  }
  const token = tokenIn(auth);
  if (token === undefined) return credentialsIn(request);
  if (typeof token !== 'string') throw invalidToken('auth.token is not text.');
  return { authorization: `Bearer ${token}` };
}

/** Undefined and null are what a client sends that has no token. */
const tokenIn = (auth: unknown): unknown =>
  (typeof auth === 'object' && auth !== null && 'token' in auth ? auth.token : undefined) ??
  undefined;

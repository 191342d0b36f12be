/** For clients that can set no headers: the pages of a browser. */
import { type CredentialSource, type Credentials, credentialsIn } from '../../auth/credentials.js';
import { AppError } from '../../shared/app-error.js';

/**
 * The token that the client has written somewhere else, or else what the headers say. Its own wins:
 * a proxy may have added an `Authorization` header.
 *
 * @param tokens all that stand in the places where this transport looks for one
 * @throws AppError `ambiguous_credentials`
 */
export function ownTokenOr(request: CredentialSource, tokens: readonly string[]): Credentials {
  if (tokens.length > 1) {
    throw new AppError(
      'unauthenticated',
      'ambiguous_credentials',
      'Send one token, in one place, not several.',
    );
  }
  const [token] = tokens;
  return token === undefined ? credentialsIn(request) : { authorization: `Bearer ${token}` };
}

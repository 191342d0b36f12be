/** Where the upgrade to a plain WebSocket carries the credential. */
import { type CredentialSource, type Credentials, credentialsIn } from '../../auth/credentials.js';
import { AppError } from '../../common/app-error.js';

/** The subprotocol that is answered; the one after it is the token. */
export const TOKEN_PROTOCOL = 'bearer';

/**
 * The token as subprotocol (`Sec-WebSocket-Protocol: bearer, <token>`), which is how a browser can
 * send one that ends up in no log, or as `?token=`, or else the headers. What the client itself has
 * written wins: a proxy may have added an `Authorization` header of its own.
 *
 * @throws AppError `ambiguous_credentials`
 */
export function webSocketCredentials(
  request: CredentialSource,
  query: URLSearchParams,
): Credentials {
  const tokens = [...query.getAll('token'), ...tokensIn(request.headers['sec-websocket-protocol'])];
  if (tokens.length > 1) {
    throw new AppError(
      'unauthenticated',
      'ambiguous_credentials',
      'Send one token, as subprotocol or as ?token=, not several.',
    );
  }
  const [token] = tokens;
  return token === undefined ? credentialsIn(request) : { authorization: `Bearer ${token}` };
}

function tokensIn(header: string | string[] | undefined): string[] {
  const protocols = String(header ?? '')
    .split(',')
    .map((protocol) => protocol.trim());
  const at = protocols.indexOf(TOKEN_PROTOCOL);
  return at === -1 ? [] : [protocols[at + 1] ?? ''];
}

/** Where the upgrade to a plain WebSocket carries the credential. */
import type { CredentialSource, Credentials } from '../../../auth/credentials.js';
import { ownTokenOr } from '../../connections/own-token.js';

/** The subprotocol that is answered; the one after it is the token. */
export const TOKEN_PROTOCOL = 'bearer';

/**
 * The token as subprotocol (`Sec-WebSocket-Protocol: bearer, <token>`), which is how a browser can
 * send one that ends up in no log, or as `?token=`, or else the headers.
 *
 * @throws AppError `ambiguous_credentials`
 */
export const webSocketCredentials = (
  request: CredentialSource,
  query: URLSearchParams,
): Credentials =>
  ownTokenOr(request, [
    ...query.getAll('token'),
    ...tokensIn(request.headers['sec-websocket-protocol']),
  ]);

function tokensIn(header: string | string[] | undefined): string[] {
  const protocols = String(header ?? '')
    .split(',')
    .map((protocol) => protocol.trim());
  const at = protocols.indexOf(TOKEN_PROTOCOL);
  return at === -1 ? [] : [protocols[at + 1] ?? ''];
}

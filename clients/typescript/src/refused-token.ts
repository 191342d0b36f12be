import type { Refusal } from './tidings-error.js';

/** Where the server says of any token whether it is good, and does nothing else for `HEAD`. */
const PATH = '/api/v1/events/stream';

const TIMEOUT_MS = 5_000;

/**
 * Whether the token is why a WebSocket was not opened: browsers do not tell a page, and to come back
 * with the same one for ever would be of no use.
 *
 * @returns undefined if the token is good, or if nobody knows
 */
export async function refusedToken(
  url: string,
  token: string | undefined,
): Promise<Refusal | undefined> {
  const address = new URL(url);
  address.protocol = address.protocol.replace('ws', 'http');
  address.pathname = address.pathname.replace(/\/$/, '') + PATH;
  const headers = new Headers(token === undefined ? {} : { authorization: `Bearer ${token}` });
  try {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    const { status } = await fetch(address, { method: 'HEAD', headers, signal });
    if (status !== 401) return undefined;
  } catch {
    return undefined;
  }
  return token === undefined
    ? { code: 'missing_credentials', message: 'The server wants a token.' }
    : { code: 'invalid_token', message: 'The server does not accept the token.' };
}

import { httpAddress } from './http-client.js';
import type { Refusal } from './tidings-error.js';

/** A route that checks the token, and does nothing else for `HEAD`. */
const PATH = '/api/v1/events/stream';

const TIMEOUT_MS = 5_000;

/**
 * Finds out whether the token is the reason why a WebSocket was not opened. Browsers do not show the
 * reason to a page, and reconnecting with the same token would fail for ever.
 *
 * @returns undefined if the token is valid, or the server did not answer
 */
export async function refusedToken(
  url: string,
  token: string | undefined,
): Promise<Refusal | undefined> {
  const address = httpAddress(url, PATH);
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

/**
 * When a token expires, in milliseconds since 1970, if it says so. Nothing is verified: the client only
 * needs the time to renew the token early enough.
 */
export function expiresAtMs(token: string): number | undefined {
  try {
    const payload = token.split('.')[1] ?? '';
    const claims = JSON.parse(atob(payload.replaceAll('-', '+').replaceAll('_', '/'))) as unknown;
    const { exp } = claims as { exp?: unknown };
    return typeof exp === 'number' ? exp * 1000 : undefined;
  } catch {
    return undefined;
  }
}

/** How long before its expiry a token is renewed; half of the remaining time if that is less. */
const LEAD_MS = 30_000;

/** How long to wait before a token is renewed. */
export const renewalDelayMs = (expiresAt: number, now: number): number =>
  Math.max(expiresAt - now - LEAD_MS, (expiresAt - now) / 2, 0);

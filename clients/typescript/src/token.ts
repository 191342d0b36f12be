/**
 * When a token ends, in milliseconds since 1970, as far as it says so itself. Nothing is verified:
 * this is for whoever holds the token, to renew it in time.
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

/** Before its end a token is renewed by this much, or by half of its time if that is less. */
const LEAD_MS = 30_000;

/** How long to wait before a token is renewed. */
export const renewalDelayMs = (expiresAt: number, now: number): number =>
  Math.max(expiresAt - now - LEAD_MS, (expiresAt - now) / 2, 0);

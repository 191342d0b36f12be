/**
 * Whether a page of this origin may connect. Browsers say where a page comes from and let any page
 * open WebSockets anywhere; other clients send no `Origin`, and need none, because a credential is
 * never taken from a cookie.
 *
 * @param origin  the header; undefined: not a browser
 * @param host    the `Host` header: pages of the same host may always connect. Schemes are not
 *                compared: behind a proxy that ends TLS the server does not know its own.
 * @param allowed origins such as `https://app.example.com`; `*` allows all, also `null`
 */
export function isAllowedOrigin(
  origin: string | undefined,
  host: string | undefined,
  allowed: readonly string[],
): boolean {
  if (origin === undefined || allowed.includes('*')) return true;
  if (!URL.canParse(origin)) return false;
  const page = new URL(origin);
  return allowed.includes(page.origin) || page.host === hostOf(page.protocol, host);
}

/** As a URL of that scheme writes it: without the default port, in lower case. */
function hostOf(protocol: string, host: string | undefined): string | undefined {
  const url = `${protocol}//${host}`;
  return host !== undefined && host !== '' && URL.canParse(url) ? new URL(url).host : undefined;
}

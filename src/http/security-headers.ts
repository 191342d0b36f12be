/**
 * What every response demands of browsers and caches. One place: {@link OutgoingResponse} sets them on each
 * response of the server, and `problemResponse` on those that are written to a bare socket.
 */

/** A route may replace one with its own value. */
export const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  // Answers hold secrets, and data of one owner.
  'cache-control': 'no-store',
  // Nothing but the pages of the documentation is meant to be shown: they have a policy of their own.
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  // For browsers that do not know `frame-ancestors`.
  'x-frame-options': 'DENY',
};

/** For Swagger UI: its own files, the styles in its page, and requests to this server. */
export const DOCS_CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "font-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'none'",
].join('; ');

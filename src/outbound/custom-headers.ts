/**
 * Which headers a user may add to the requests of a webhook.
 *
 * An accepted header reaches the receiver unchanged and once. It cannot alter the message framing,
 * the signature, or what a proxy or metadata service believes about the sender. `authorization` is
 * allowed on purpose: receivers require it.
 */
export const MAX_CUSTOM_HEADERS = 10;
const MAX_HEADER_VALUE_LENGTH = 1024;

const NAME = /^[A-Za-z0-9-]{1,64}$/;

/** Printable ASCII. Space at the ends would be stripped (RFC 9110, 5.5), so it is refused. */
const VALUE = /^(?! )[\x20-\x7e]*(?<! )$/;

const DENIED_NAMES = new Set([
  // Hop-by-hop (RFC 9110, 7.6.1) and framing: the HTTP client owns the connection.
  'connection',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
  'expect',
  'host',
  // Set by us.
  'user-agent',
  'accept-encoding',
  'date',
  // Trusted by proxies and servers as the origin of a request.
  'via',
  'forwarded',
  'x-real-ip',
  'cookie',
  // Unlock the metadata services of clouds.
  'metadata',
  'metadata-flavor',
  'x-metadata-token',
]);

const DENIED_PREFIXES = [
  'content-',
  'proxy-',
  'x-forwarded-',
  'x-amz-',
  'x-aws-',
  'x-goog-',
  'x-google-',
  // The signature (Standard Webhooks) and this product's own headers.
  'webhook-',
  'tidings-',
];

/** What is wrong with one header, as a message for the user; undefined when it is valid. */
export function headerProblem(name: string, value: string): string | undefined {
  if (!NAME.test(name)) return 'a header name has 1 to 64 letters, digits and hyphens';
  if (isDenied(name.toLowerCase())) return `${name} cannot be set on a webhook`;
  if (value.length > MAX_HEADER_VALUE_LENGTH) {
    return `${name} is longer than ${MAX_HEADER_VALUE_LENGTH} characters`;
  }
  if (!VALUE.test(value)) {
    return `${name} may hold printable ASCII only, without space at either end`;
  }
  return undefined;
}

/** The first problem of a whole set: too many, the same name twice, or a bad header. */
export function customHeadersProblem(
  headers: Readonly<Record<string, string>>,
): string | undefined {
  const entries = Object.entries(headers);
  if (entries.length > MAX_CUSTOM_HEADERS)
    return `at most ${MAX_CUSTOM_HEADERS} headers can be set`;
  const seen = new Set<string>();
  for (const [name, value] of entries) {
    const problem = headerProblem(name, value);
    if (problem !== undefined) return problem;
    if (seen.has(name.toLowerCase())) return `${name} is set twice: header names ignore case`;
    seen.add(name.toLowerCase());
  }
  return undefined;
}

function isDenied(name: string): boolean {
  return DENIED_NAMES.has(name) || DENIED_PREFIXES.some((prefix) => name.startsWith(prefix));
}

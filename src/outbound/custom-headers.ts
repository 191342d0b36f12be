/**
 * Which headers a user may add to the requests of a webhook.
 *
 * An accepted header reaches the receiver unchanged and once. It cannot alter the message framing,
 * the signature, or what a proxy, platform or metadata service believes about the sender.
 * `authorization` is allowed on purpose: receivers require it.
 */
export const MAX_CUSTOM_HEADERS = 10;
const MAX_HEADER_VALUE_LENGTH = 1024;

const NAME = /^[A-Za-z0-9-]{1,64}$/;

/** Printable ASCII. Space at the ends would be stripped (RFC 9110, 5.5), so it is refused. */
const VALUE = /^(?! )[\x20-\x7e]*(?<! )$/;

/** Hop-by-hop (RFC 9110, 7.6.1), framing, and what we set ourselves. */
const OURS = new Set([
  'connection',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
  'expect',
  'host',
  'max-forwards',
  'user-agent',
  'accept-encoding',
  'date',
  'traceparent',
  'tracestate',
  'via',
  'cookie',
  'set-cookie',
]);

/**
 * What proxies, gateways and platforms set, and the servers behind them believe: who the client is,
 * and which host, path or method it asked for. A family is a name and all that continue it after a
 * hyphen, so that what a vendor adds to it is refused too.
 */
const TRUSTED_FAMILIES = [
  // Message content, the signature (Standard Webhooks) and this product's own headers.
  'content',
  'webhook',
  'tidings',
  // Of browsers, proxies and caches.
  'sec',
  'proxy',
  'x-proxy',
  'surrogate',
  // The host, path, scheme or method instead of those of the request line.
  'x-http',
  'x-original',
  'x-rewrite',
  'x-host',
  'x-real',
  'x-backend',
  'x-script-name',
  'x-https',
  'x-forwardedfor',
  'x-geoip',
  'early-data',
  'x-scheme',
  'x-url-scheme',
  'x-proto',
  'x-protocol',
  'x-accel',
  'x-sendfile',
  'front-end',
  'x-arr',
  'x-waws',
  'disguised-host',
  'was-default-hostname',
  'x-middleware',
  'x-nextjs',
  'x-invoke',
  'x-matched',
  // Client certificates and users that a proxy has checked.
  'client-cert',
  'client-dn',
  'client-verify',
  'x-client-cert',
  'x-client-dn',
  'x-client-verify',
  'x-clientcert',
  'ssl',
  'x-ssl',
  'x-tls',
  'x-authenticated',
  'x-auth-request',
  'x-auth-user',
  'x-userinfo',
  'x-endpoint-api',
  'x-jwt-assertion',
  'impersonate',
  'x-subject',
  'x-authentik',
  'x-webauth',
  'x-pomerium',
  'x-consumer',
  'x-credential',
  'x-anonymous-consumer',
  'tailscale',
  'x-tailscale',
  'ngrok-auth',
  // Content delivery networks.
  'cf',
  'cdn',
  'x-cdn',
  'true-client',
  'akamai',
  'x-akamai',
  'fastly',
  'x-fastly',
  'incap',
  'x-incap',
  'x-sucuri',
  'x-azure',
  'x-fd',
  'cloudfront',
  'x-cloudfront',
  'ali',
  'x-ali',
  'eagleeye',
  // Clouds: metadata services, gateways, identity.
  'metadata',
  'x-metadata-token',
  'x-amz',
  'x-amzn',
  'x-amazon',
  'x-aws',
  'x-apigateway',
  'x-goog',
  'x-google',
  'x-gfe',
  'x-gclb',
  'x-cloud-trace',
  'x-appengine',
  'x-ms',
  'x-oci',
  'opc',
  'x-acs',
  'x-tencent',
  // Platforms.
  'fly',
  'x-fly',
  'x-vercel',
  'x-now',
  'x-nf',
  'x-netlify',
  'x-heroku',
  'x-render',
  'rndr',
  'x-railway',
  'x-replit',
  // Reverse proxies and service meshes.
  'x-envoy',
  'x-istio',
  'x-kong',
  'x-traefik',
  'x-haproxy',
  'x-nginx',
  'l5d',
  'x-linkerd',
  'x-spiffe',
];

/** Words that say the same in any name: `Forwarded`, `CF-Connecting-IP`, `X-HTTP-Method-Override`. */
const TRUSTED_WORD =
  /^(?:forwarded|override|remote|(?:client|connecting|origin|peer|proxyuser|real|remote|socket|source|src|user)?ip(?:s|v4|v6|address|country)?|(?:client|peer|remote|source)addr(?:ess)?)$/;

/** Credentials that a platform checks, and does not trust unseen. */
const CREDENTIALS = new Set([
  'cf-access-client-id',
  'cf-access-client-secret',
  'x-vercel-protection-bypass',
  'x-goog-api-key',
]);

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
  if (OURS.has(name)) return true;
  if (CREDENTIALS.has(name)) return false;
  return (
    TRUSTED_FAMILIES.some((family) => `${name}-`.startsWith(`${family}-`)) ||
    name.split('-').some((word) => TRUSTED_WORD.test(word))
  );
}

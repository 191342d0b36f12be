import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { customHeadersProblem, headerProblem, MAX_CUSTOM_HEADERS } from './custom-headers.js';

describe('custom headers', () => {
  it.each([
    ['X-Api-Key', 'abc 123'],
    ['authorization', 'Bearer x.y.z'],
    ['x', ''],
    ['a'.repeat(64), '~'.repeat(1024)],
    ['constructor', 'fine'],
    ['x-metadata', 'fine'],
    ['X-Client-Id', 'fine'],
    ['X-Client-Secret', 'fine'],
    ['X-Ship-Id', 'fine'],
    ['X-Zip', 'fine'],
    ['X-Membership-Level', 'fine'],
    ['X-Request-Id', 'fine'],
    ['X-Hosting-Region', 'fine'],
    ['X-Msg-Kind', 'fine'],
    ['X-Prototype', 'fine'],
    ['Flying', 'fine'],
    ['Origin', 'https://example.com'],
    ['CF-Access-Client-Id', 'abc.access'],
    ['CF-Access-Client-Secret', 'abc'],
    ['X-Vercel-Protection-Bypass', 'abc'],
  ])('accepts %s: %s', (name, value) => {
    expect(headerProblem(name, value)).toBeUndefined();
  });

  it.each([
    '',
    'a'.repeat(65),
    'x y',
    'x_y',
    'x:',
    'x\r\ny',
    'é',
    '__proto__',
    'Host',
    'Connection',
    'KEEP-ALIVE',
    'te',
    'Trailer',
    'Transfer-Encoding',
    'Upgrade',
    'Expect',
    'Content-Length',
    'content-type',
    'Content-Encoding',
    'Cookie',
    'Proxy-Authorization',
    'Proxy-Connection',
    'Forwarded',
    'X-Forwarded-For',
    'X-Forwarded-Host',
    'X-Real-IP',
    'X-Amz-Date',
    'X-aws-ec2-metadata-token',
    'X-Goog-Anything',
    'X-Auth-User',
    'X-Endpoint-API-UserInfo',
    'Impersonate-Group',
    'X-Backend-Host',
    'X-GeoIP-Country',
    'Set-Cookie',
    'X-Google-Metadata-Request',
    'Metadata',
    'Metadata-Flavor',
    'Webhook-Id',
    'webhook-signature',
    'Tidings-Attempt',
    'User-Agent',
    'Accept-Encoding',
    'HTTP2-Settings',
  ])('refuses the name %j', (name) => {
    expect(headerProblem(name, 'value')).toBeTypeOf('string');
  });

  it.each([
    // One of each family that some proxy or platform trusts.
    'CF-Connecting-IP',
    'CF-IPCountry',
    'CF-Ray',
    'CDN-Loop',
    'True-Client-IP',
    'Akamai-Origin-Hop',
    'Fastly-Client-IP',
    'Fastly-FF',
    'Fly-Client-IP',
    'Fly-Forwarded-Port',
    'X-Vercel-Forwarded-For',
    'X-Vercel-Id',
    'X-NF-Client-Connection-IP',
    'X-Azure-ClientIP',
    'X-Azure-FDID',
    'X-MS-Client-Principal',
    'X-ARR-ClientCert',
    'X-WAWS-Unencoded-URL',
    'X-Amzn-Oidc-Identity',
    'X-Amzn-Trace-Id',
    'CloudFront-Viewer-Address',
    'X-Goog-Authenticated-User-Email',
    'X-Appengine-User-IP',
    'X-Appengine-Cron',
    'X-Cloud-Trace-Context',
    'Ali-CDN-Real-IP',
    'Incap-Client-IP',
    'X-Client-IP',
    'Client-IP',
    'X-Cluster-Client-IP',
    'X-Originating-IP',
    'X-ProxyUser-Ip',
    'X-Remote-Addr',
    'X-RemoteAddr',
    'Remote-User',
    'X-Forwarded',
    'Forwarded-For',
    'X-Original-Forwarded-For',
    'X-Original-URL',
    'X-Original-Host',
    'X-Rewrite-URL',
    'X-HTTP-Method-Override',
    'X-HTTP-Method',
    'X-Method-Override',
    'X-Host',
    'X-Scheme',
    'X-Url-Scheme',
    'Front-End-Https',
    'X-Accel-Redirect',
    'X-Middleware-Subrequest',
    'X-Envoy-External-Address',
    'X-Client-Cert',
    'Client-Cert-Chain',
    'SSL-Client-Verify',
    'X-SSL-Client-CN',
    'X-Auth-Request-Email',
    'X-WebAuth-User',
    'X-Consumer-Custom-ID',
    'Tailscale-User-Login',
    'Sec-Fetch-Site',
    'Max-Forwards',
    'traceparent',
  ])('refuses %s, which some proxy or platform trusts', (name) => {
    expect(headerProblem(name, 'value')).toContain('cannot be set');
    expect(headerProblem(name.toLowerCase(), 'value')).toContain('cannot be set');
    expect(headerProblem(name.toUpperCase(), 'value')).toContain('cannot be set');
  });

  it('refuses what a vendor may add to a family later', () => {
    const family = fc.constantFrom(
      'CF',
      'X-Forwarded',
      'X-Amzn',
      'X-Goog',
      'X-MS',
      'X-Appengine',
      'Fly',
      'X-Vercel',
      'Fastly',
      'X-Original',
      'X-HTTP',
      'Proxy',
      'True-Client',
      'X-Azure',
      'CloudFront',
    );
    const rest = fc.stringMatching(/^[A-Za-z0-9]{1,8}(-[A-Za-z0-9]{1,8}){0,3}$/);
    fc.assert(
      fc.property(family, rest, (family, rest) => {
        fc.pre(!/^(access-client-(id|secret)|protection-bypass)$/i.test(rest));
        expect(headerProblem(`${family}-${rest}`, 'value')).toContain('cannot be set');
      }),
    );
    const ends = fc.constantFrom('Client-IP', 'Real-IP', 'Forwarded-Host', 'Method-Override');
    fc.assert(
      fc.property(rest, ends, (start, end) => {
        expect(headerProblem(`X-${start}-${end}`, 'value')).toContain('cannot be set');
      }),
    );
  });

  it.each([
    'a\r\nb',
    'a\nb',
    'a\0',
    '\t',
    'é',
    '\u0100',
    '😀',
    ' a',
    'a ',
    '\x7f',
    'x'.repeat(1025),
  ])('refuses the value %j', (value) => {
    expect(headerProblem('X-Custom', value)).toBeTypeOf('string');
  });

  it('accepts only what can be written to a header line unchanged', () => {
    const name = fc.stringMatching(/^[ -~é\r\n]{0,2}[a-z-]{1,4}$/);
    const value = fc.oneof(fc.string(), fc.stringMatching(/^[ -~]{0,9}[é\r\n\0]?$/));
    fc.assert(
      fc.property(name, value, (name, value) => {
        fc.pre(headerProblem(name, value) === undefined);
        expect(name).toMatch(/^[!-9;-~]+$/);
        expect(new Headers([[name, value]]).get(name)).toBe(value);
      }),
    );
  });

  it('refuses a set that is too large or names a header twice', () => {
    const headers = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, n) => [`x-${n}`, 'v']));
    expect(customHeadersProblem(headers(MAX_CUSTOM_HEADERS))).toBeUndefined();
    expect(customHeadersProblem(headers(MAX_CUSTOM_HEADERS + 1))).toContain('at most');
    expect(customHeadersProblem({ 'X-A': '1', 'x-a': '2' })).toContain('twice');
    expect(customHeadersProblem({ 'x-a': '1', host: 'x' })).toContain('host');
  });
});

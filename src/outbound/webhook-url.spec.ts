import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compileAddressPolicy } from './address-policy.js';
import { parseWebhookUrl, targetOf, type WebhookUrlRules } from './webhook-url.js';

const strict: WebhookUrlRules = {
  allowHttp: true,
  policy: compileAddressPolicy([]),
  ports: 'unprivileged',
};
const httpsOnly = { ...strict, allowHttp: false };
const development = { ...strict, policy: compileAddressPolicy(['127.0.0.0/8']) };

const isAccepted = (raw: string, rules = strict) => parseWebhookUrl(raw, rules).ok;
const hrefOf = (raw: string, rules = strict) => {
  const parsed = parseWebhookUrl(raw, rules);
  return parsed.ok ? parsed.url.href : parsed.message;
};

/** Both schemes, with and without port and path: the check must not depend on them. */
const urlsOf = (host: string) => [
  `http://${host}/`,
  `https://${host}`,
  `https://${host}:8443/hook?x=1`,
];

const REFUSED_HOSTS: Record<string, string[]> = {
  'plain loopback': ['127.0.0.1', '[::1]', '127.255.255.254', '[0:0:0:0:0:0:0:1]'],
  'short IPv4': ['127.1', '0', '127.0.1', '10.1', '192.168.257'],
  'decimal IPv4': ['2130706433', '2852039166', '3232235521'],
  'hexadecimal IPv4': ['0x7f000001', '0xA9FEA9FE', '0x7f.1', '0x0a000001', '0x'],
  'octal IPv4': ['0177.0.0.1', '0251.0376.0251.0376', '012.1', '017700000001', '00000177.1'],
  'mixed radix': ['0177.0.0.0x1', '0x7f.0.0.01', '169.0xfe.43518', '0xa.012.1'],
  'numbers out of range': ['425.510.425.510', '0x41414141A9FEA9FE', '256.1.1.1', '1.1.1.1.1'],
  'bad numbers': ['0o177.0.0.1', '08.1.1.1', '4294967296', '1..1', '127.0.0.1.0x'],
  unspecified: ['0.0.0.0', '[::]', '[0::0]', '0x0', '00'],
  'other digits': ['１２７.０.０.１', '①', '⑯⑨.254.169.254', '𝟏𝟐𝟕.0.0.1', '０x7f.1'],
  'other dots': ['127。0。0。1', '127｡0｡0｡1', '127．0．0．1'],
  'names in disguise': [
    'ⓛⓞⓒⓐⓛⓗⓞⓢⓣ',
    'loc%C2%ADalhost',
    'loc\u00adalhost',
    'localhoſt',
    'ＬＯＣＡＬＨＯＳＴ',
  ],
  'percent-encoded': ['%31%32%37.0.0.1', '%6cocalhost', '127%2e0%2e0%2e1', '%5B::1%5D'],
  'trailing dots': [
    '127.0.0.1.',
    '127.0.0.1..',
    'localhost.',
    'localhost..',
    '.',
    '...',
    'a.com..',
  ],
  'empty labels': ['.example.com', 'a..example.com', '%2e'],
  'local names': ['localhost', 'LOCALHOST', 'foo.localhost', 'localhost.localdomain'],
  'single labels': ['ip6-loopback', 'intranet', 'redis', 'metadata', 'instance-data', 'com'],
  'local zones': ['printer.local', 'db.internal', 'nas.lan', 'x.home.arpa', 'a.corp', 'b.intranet'],
  'IPv4-mapped': ['[::ffff:127.0.0.1]', '[::ffff:7f00:1]', '[0:0:0:0:0:ffff:10.0.0.1]'],
  'IPv4-compatible': ['[::127.0.0.1]', '[::7f00:1]', '[::a9fe:a9fe]'],
  'IPv4-translated': ['[::ffff:0:127.0.0.1]', '[::ffff:0:a00:1]'],
  NAT64: ['[64:ff9b::7f00:1]', '[64:ff9b::169.254.169.254]', '[64:ff9b:1::1]'],
  '6to4': ['[2002:7f00:1::]', '[2002:a9fe:a9fe::]', '[2002:808:808::1]'],
  Teredo: ['[2001:0:4136:e378:8000:63bf:3fff:fdd2]', '[2001::1]'],
  ISATAP: ['[::5efe:10.0.0.1]', '[2600::5efe:a00:1]', '[2600::200:5efe:a00:1]'],
  'IPv6 local kinds': ['[fe80::1]', '[fec0::1]', '[fc00::1]', '[fd00:ec2::254]', '[ff02::1]'],
  'IPv6 reserved': ['[100::1]', '[100:0:0:1::1]', '[2001:2::1]', '[2001:20::1]', '[2001:db8::1]'],
  'IPv6 unassigned': ['[3fff::1]', '[4000::1]', '[1::1]', '[5f00::1]', '[e000::1]'],
  'zone ids': ['[fe80::1%25eth0]', '[fe80::1%eth0]', '[2606:4700::1%251]'],
  'private IPv4': ['10.0.0.1', '172.16.0.1', '172.31.255.255', '192.168.0.1', '100.64.0.1'],
  'special IPv4': [
    '0.1.2.3',
    '192.0.0.1',
    '192.0.2.1',
    '192.31.196.1',
    '192.88.99.1',
    '198.18.0.1',
  ],
  'more special IPv4': ['198.51.100.1', '203.0.113.1', '224.0.0.1', '240.0.0.1', '255.255.255.255'],
  'metadata addresses': ['169.254.169.254', '169.254.170.2', '192.0.0.192', '168.63.129.16'],
  'metadata names': ['metadata.google.internal', 'metadata.goog', 'kubernetes.default.svc'],
  'docker names': ['host.docker.internal', 'gateway.docker.internal', 'x.cluster.local'],
  userinfo: ['example.com@127.0.0.1', 'user:pass@example.com', '@example.com', ':@example.com'],
  'more userinfo': ['user@example.com', 'a:b@[::1]', 'example.com%40x@example.org'],
  'not host names': [
    '*.example.com',
    'exa$mple.com',
    '-a.example.com',
    'a-.example.com',
    '()',
    '~.com',
  ],
  'long host': [`${'a'.repeat(64)}.com`, `${'abcdefgh.'.repeat(28)}com`],
};

const REFUSED_URLS: Record<string, string[]> = {
  backslash: [
    'http://127.0.0.1\\@example.com/',
    'http://example.com\\@127.0.0.1/',
    'https:\\\\a.com',
  ],
  'backslash anywhere': ['https://example.com/a\\b', 'https://example.com/?\\', '\\\\example.com'],
  fragment: ['http://127.0.0.1#@example.com/', 'https://example.com/#', 'https://example.com#x'],
  'split text': ['http://1.1.1.1 &@2.2.2.2# @3.3.3.3/', 'http://example.com@@127.0.0.1/'],
  'sloppy scheme': [
    'http:127.0.0.1/',
    'http:/127.0.0.1/',
    'http:///127.0.0.1/',
    'https:example.com',
  ],
  'sloppier scheme': [
    'https:////example.com',
    'http//example.com',
    'https;//example.com',
    'https//',
  ],
  'white space': ['\thttps://example.com/', 'https://example.com/ ', 'http://exa mple.com/'],
  'more white space': [
    'https://example.com/\u00a0',
    '\ufeffhttps://example.com',
    'https://a.com/\u2028',
  ],
  'control characters': ['ht\ntp://127.0.0.1/', 'https://example.com/\r', 'https://example.com/\0'],
  'more controls': [
    'https://exam\x01ple.com',
    'https://example.com/\x7f',
    'https://example.com/\x85',
  ],
  'no scheme': [
    '//127.0.0.1/',
    '//example.com',
    'example.com',
    '/hook',
    '',
    '?',
    'https',
    'https://',
  ],
  'other schemes': ['file:///etc/passwd', 'ftp://example.com', 'gopher://127.0.0.1:6379/_x'],
  'more schemes': [
    'dict://x.com:1',
    'data:text/plain,x',
    'javascript:alert(1)',
    'blob:https://a.com/x',
  ],
  'socket schemes': [
    'ws://example.com',
    'wss://example.com',
    'ldap://example.com',
    'tftp://x.com/a',
  ],
  'unix sockets': ['unix:/var/run/docker.sock', 'http+unix://%2Fvar%2Frun%2Fdocker.sock/x'],
  'sockets as host': ['http://unix:/var/run/docker.sock', 'http://%2Fvar%2Frun/x', 'https://unix/'],
  ports: ['https://example.com:0', 'https://example.com:22', 'https://example.com:25/'],
  'more ports': ['https://example.com:1023/', 'https://example.com:65536/', 'https://a.com:80:80/'],
  'odd ports': ['https://example.com:-1', 'https://example.com:8080x', 'https://example.com:٣٠٠٠'],
  length: [`https://example.com/${'a'.repeat(2048)}`, `https://example.com/?${'x'.repeat(10_000)}`],
  'length after encoding': [`https://example.com/${'é'.repeat(1000)}`],
};

describe('the URL of a webhook', () => {
  it.each(Object.entries(REFUSED_HOSTS))('refuses the host: %s', (_name, hosts) => {
    for (const url of hosts.flatMap(urlsOf)) expect([url, isAccepted(url)]).toEqual([url, false]);
  });

  it.each(Object.entries(REFUSED_URLS))('refuses the text: %s', (_name, urls) => {
    for (const url of urls) expect([url, isAccepted(url)]).toEqual([url, false]);
  });

  it.each([
    ['https://example.com', 'https://example.com/'],
    ['HTTPS://EXAMPLE.com/Hook?b=2&a=1', 'https://example.com/Hook?b=2&a=1'],
    ['https://example.com./x', 'https://example.com/x'],
    ['https://example.com:443/x', 'https://example.com/x'],
    ['http://example.com:00080/', 'http://example.com/'],
    ['https://example.com:80/', 'https://example.com:80/'],
    ['https://example.com:1024/', 'https://example.com:1024/'],
    ['https://example.com:65535/', 'https://example.com:65535/'],
    ['https://bücher.example/é', 'https://xn--bcher-kva.example/%C3%A9'],
    ['https://example.com/@user?to=a@b', 'https://example.com/@user?to=a@b'],
    ['https://example.com//127.0.0.1/..', 'https://example.com//'],
    ['https://example.com/http://127.0.0.1/', 'https://example.com/http://127.0.0.1/'],
    ['https://hooks_1.example-x.com/', 'https://hooks_1.example-x.com/'],
    ['https://1.1.1.1/', 'https://1.1.1.1/'],
    ['https://0x01010101/', 'https://1.1.1.1/'],
    ['https://172.32.0.1/', 'https://172.32.0.1/'],
    ['https://100.128.0.1/', 'https://100.128.0.1/'],
    ['https://[2606:4700:4700::1111]/', 'https://[2606:4700:4700::1111]/'],
    ['https://[::ffff:1.1.1.1]/', 'https://[::ffff:101:101]/'],
    ['https://localtest.me/', 'https://localtest.me/'],
    ['https://notlocalhost.com/', 'https://notlocalhost.com/'],
    ['https://mylocal.dev/', 'https://mylocal.dev/'],
  ])('accepts %s as %s', (raw, href) => {
    expect(hrefOf(raw)).toBe(href);
  });

  it('accepts http only where an operator does', () => {
    expect(hrefOf('http://example.com/', httpsOnly)).toBe('must begin with https://');
    expect(isAccepted('https://example.com/', httpsOnly)).toBe(true);
  });

  it.each(['localhost', 'a.localhost', 'localhost.', '127.0.0.1', '127.1', '[::ffff:127.0.0.1]'])(
    'accepts %s if loopback is allowed, and names the setting otherwise',
    (host) => {
      expect(isAccepted(`http://${host}:3000/`, development)).toBe(true);
      expect(hrefOf(`http://${host}:3000/`)).toContain('OUTBOUND_ALLOW_CIDRS=127.0.0.0/8');
    },
  );

  it.each([
    '0.0.0.0',
    '[::1]',
    '10.0.0.1',
    'redis',
    'db.internal',
    '169.254.169.254',
    'metadata.goog',
  ])('still refuses %s when loopback is allowed', (host) => {
    expect(isAccepted(`http://${host}:3000/`, development)).toBe(false);
  });

  it('never allows metadata addresses, and names no setting for them', () => {
    const open = { ...strict, policy: compileAddressPolicy(['0.0.0.0/0', '::/0']) };
    expect(hrefOf('http://169.254.169.254/', open)).toContain('never allowed');
    expect(hrefOf('http://metadata.goog/', open)).toContain('never allowed');
    expect(isAccepted('http://10.0.0.1/', open)).toBe(true);
  });

  it.each([
    [[80, 443, 8080, 8443], '', true],
    [[80, 443, 8080, 8443], ':443', true],
    [[80, 443, 8080, 8443], ':80', true],
    [[80, 443, 8080, 8443], ':8443', true],
    [[80, 443, 8080, 8443], ':6379', false],
    [[80, 443, 8080, 8443], ':65535', false],
    [[8443], '', false],
    [[8443], ':8443', true],
    ['any' as const, ':22', true],
    ['any' as const, ':1', true],
    ['any' as const, ':0', false],
    ['unprivileged' as const, ':22', false],
    ['unprivileged' as const, ':6379', true],
  ])('with the ports %j, https://example.com%s is accepted: %s', (ports, port, isOk) => {
    const rules = { ...strict, ports };
    expect(isAccepted(`https://example.com${port}/`, rules)).toBe(isOk);
    expect(hrefOf(`https://example.com${port}/`, rules).includes('port')).toBe(!isOk);
  });

  it('accepts a trusted origin, only that one, and only below its path', () => {
    const bins = /^\/bin\/[^/]+$/;
    const rules = { ...strict, trustedOrigins: new Map([['http://localhost:3000', bins]]) };
    expect(isAccepted('http://localhost:3000/api/v1/events', rules)).toBe(false);
    expect(isAccepted('http://localhost:3000/bin/1', rules)).toBe(true);
    expect(isAccepted('http://localhost:3001/bin/1', rules)).toBe(false);
    expect(isAccepted('https://localhost:3000/bin/1', rules)).toBe(false);
    expect(isAccepted('http://127.0.0.1:3000/bin/1', rules)).toBe(false);
  });

  it('names the origin and the path that a request needs', () => {
    const target = targetOf(new URL('https://example.com:8443//a/b?c=d'));
    expect(target).toEqual({ origin: 'https://example.com:8443', path: '//a/b?c=d' });
  });
});

const octet = fc.nat(255);
const privateIPv4 = fc.oneof(
  fc.tuple(fc.constant(127), octet, octet, octet),
  fc.tuple(fc.constant(10), octet, octet, octet),
  fc.tuple(fc.constant(192), fc.constant(168), octet, octet),
  fc.tuple(fc.constant(169), fc.constant(254), octet, octet),
  fc.tuple(fc.constant(172), fc.integer({ min: 16, max: 31 }), octet, octet),
  fc.tuple(fc.constant(0), octet, octet, octet),
);

const inRadix: ((n: number) => string)[] = [
  (n) => n.toString(),
  (n) => `0${n.toString(8)}`,
  (n) => `000${n.toString(8)}`,
  (n) => `0x${n.toString(16)}`,
  (n) => `0X00${n.toString(16).toUpperCase()}`,
];

const disguises: ((text: string) => string)[] = [
  (text) => text,
  (text) => `${text}.`,
  (text) => text.replaceAll('.', '。'),
  (text) => text.replaceAll('.', '%2e'),
  (text) => text.replace(/\d/g, (d) => String.fromCodePoint(0xff10 + Number(d))),
  (text) => text.replace(/\d/g, (d) => String.fromCodePoint(0x1d7ce + Number(d))),
  (text) => text.replace(/\d/g, (d) => `%3${d}`),
  (text) => text.replace(/^./, (first) => `${first}\u00ad`),
];

/** 1 to 4 parts, as inet_aton reads them: the last part holds all the bytes that remain. */
function parts(octets: number[], count: number): number[] {
  const rest = octets.slice(count - 1).reduce((sum, value) => sum * 256 + value, 0);
  return [...octets.slice(0, count - 1), rest];
}

const encodedIPv4 = fc
  .tuple(
    privateIPv4,
    fc.integer({ min: 1, max: 4 }),
    fc.array(fc.constantFrom(...inRadix), { minLength: 4, maxLength: 4 }),
    fc.constantFrom(...disguises),
  )
  .map(([octets, count, radix, disguise]) =>
    disguise(
      parts(octets, count)
        .map((value, index) => radix[index]!(value))
        .join('.'),
    ),
  );

const mappedIPv4 = privateIPv4.map((octets) => `[::ffff:${octets.join('.')}]`);

const awkward = fc.oneof(
  fc.webUrl({ withQueryParameters: true, withFragments: true, size: 'large' }),
  fc.string({ unit: 'binary' }).map((text) => `https://example.com/${text}`),
  fc.string({ unit: 'grapheme' }).map((text) => `https://${text}`),
  fc.string({ unit: 'binary-ascii' }).map((text) => `http://${text}.com:8080/?${text}`),
  fc.string({ unit: 'binary' }),
);

describe('any URL of a webhook', () => {
  it('is refused when it is a private IPv4 address in any notation', () => {
    fc.assert(
      fc.property(fc.oneof(encodedIPv4, mappedIPv4), (host) => !isAccepted(`http://${host}/`)),
      { numRuns: 2_000 },
    );
  });

  it('never causes an exception', () => {
    fc.assert(fc.property(awkward, (raw) => typeof isAccepted(raw) === 'boolean'));
  });

  it('is accepted again, unchanged, in its normalised form', () => {
    fc.assert(
      fc.property(awkward, (raw) => {
        const parsed = parseWebhookUrl(raw, strict);
        fc.pre(parsed.ok);
        const { href, username, password, hash } = parsed.url;
        expect(hrefOf(href)).toBe(href);
        expect([username, password, hash]).toEqual(['', '', '']);
      }),
    );
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type AddressClass, classify, compileAddressPolicy } from './address-policy.js';

const strict = compileAddressPolicy([]);
const isAllowed = (ip: string, allow: string[] = []) =>
  compileAddressPolicy(allow).check(ip).allowed;

/** The policy once more, as a flat list in big integers: slow, and without a library. */
const DENIED_IPV4 = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '168.63.129.16/32',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.31.196.0/24',
  '192.52.193.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '192.175.48.0/24',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
  '100.100.100.200/32',
];
const DENIED_IPV6 = [
  '2001:0:0:0:0:0:0:0/23',
  '2001:db8:0:0:0:0:0:0/32',
  '2002:0:0:0:0:0:0:0/16',
  '2620:4f:8000:0:0:0:0:0/48',
  '3fff:0:0:0:0:0:0:0/20',
];

const fromIPv4 = (ip: string) =>
  ip.split('.').reduce((sum, octet) => sum * 256n + BigInt(octet), 0n);
const toIPv4 = (n: bigint) => [24n, 16n, 8n, 0n].map((shift) => (n >> shift) & 255n).join('.');
const fromIPv6 = (ip: string) =>
  ip.split(':').reduce((sum, group) => sum * 65536n + BigInt(`0x${group}`), 0n);
const toIPv6 = (n: bigint) =>
  [112n, 96n, 80n, 64n, 48n, 32n, 16n, 0n]
    .map((shift) => ((n >> shift) & 0xffffn).toString(16))
    .join(':');

function range(cidr: string, bits: bigint, parse: (ip: string) => bigint): [bigint, bigint] {
  const [address = '', prefix = ''] = cidr.split('/');
  const first = parse(address);
  return [first, first + (1n << (bits - BigInt(prefix))) - 1n];
}

const ranges4 = DENIED_IPV4.map((cidr) => range(cidr, 32n, fromIPv4));
const ranges6 = DENIED_IPV6.map((cidr) => range(cidr, 128n, fromIPv6));
const global6 = range('2000:0:0:0:0:0:0:0/3', 128n, fromIPv6);

const within = ([first, last]: [bigint, bigint], n: bigint) => first <= n && n <= last;
const allowedIPv4 = (n: bigint) => !ranges4.some((r) => within(r, n));
function allowedIPv6(n: bigint): boolean {
  if (n >> 32n === 0xffffn || n >> 32n === 0x64ff9bn << 64n) return allowedIPv4(n & 0xffffffffn);
  const isIsatap = [0x5efen, 0x2005efen].includes((n >> 32n) & 0xffffffffn);
  return within(global6, n) && !ranges6.some((r) => within(r, n)) && !isIsatap;
}

const boundaries = (ranges: [bigint, bigint][], max: bigint) =>
  ranges
    .flatMap(([first, last]) => [first - 1n, first, first + 1n, last - 1n, last, last + 1n])
    .filter((n) => n >= 0n && n <= max);

const MAX4 = (1n << 32n) - 1n;
const MAX6 = (1n << 128n) - 1n;
const anyIPv4 = fc.bigInt({ min: 0n, max: MAX4 });
const anyIPv6 = fc.oneof(
  fc.bigInt({ min: 0n, max: MAX6 }),
  fc.bigInt({ min: global6[0], max: global6[1] }),
  fc.bigInt({ min: 0n, max: (1n << 52n) - 1n }),
);

describe('the address policy', () => {
  it.each<[AddressClass, string[]]>([
    ['loopback', ['127.0.0.1', '127.255.255.254', '::1', '0:0:0:0:0:0:0:1', '::ffff:127.0.0.1']],
    ['private', ['10.0.0.1', '172.16.0.1', '172.31.255.255', '192.168.0.1', 'fc00::1', 'fdff::1']],
    ['special', ['0.0.0.0', '0.1.2.3', '100.64.0.1', '192.0.0.1', '192.0.2.1', '192.31.196.1']],
    ['special', ['192.88.99.1', '198.18.0.1', '198.51.100.1', '203.0.113.1', '224.0.0.1']],
    ['special', ['239.255.255.250', '240.0.0.1', '255.255.255.255']],
    ['metadata', ['169.254.169.254', '169.254.170.2', '169.254.170.23', '192.0.0.192']],
    ['metadata', ['168.63.129.16', '100.100.100.200', 'fd00:ec2::254', 'fe80::1', 'fd20:ce::254']],
    ['special', ['::', '::127.0.0.1', '::ffff:0:127.0.0.1', '64:ff9b:1::1', '64:ff9b:1::8.8.8.8']],
    ['special', ['64:ff9b::192.0.2.1', '64:ff9b:0:0:1::8.8.8.8', '64:ff9b:808:808::']],
    ['special', ['64:ff9b::7f00:1', '64:ff9b::127.255.0.1']],
    ['private', ['64:ff9b::10.0.0.1', '64:ff9b::192.168.0.1', '64:ff9b::ac10:1']],
    ['public', ['64:ff9b::808:808', '64:ff9b::1.1.1.1']],
    [
      'metadata',
      ['64:ff9b:1:a9fe:a9:fe00::', '64:ff9b:1:a9:fe:a9fe::', '64:ff9b:1::a9:fea9:fe00:0'],
    ],
    ['special', ['2002:7f00:1::', '2001:0:4136:e378:8000:63bf:3fff:fdd2', '::5efe:10.0.0.1']],
    ['special', ['2600::5efe:8.8.8.8', '2600::200:5efe:808:808', 'fec0::1', 'ff02::1', '5f00::1']],
    ['special', ['100::1', '100:0:0:1::1', '2001:2::1', '2001:10::1', '2001:20::1', '2001:db8::1']],
    ['special', ['3fff::1', '4000::1', '1::1', '8000::', '2620:4f:8000::1']],
    ['metadata', ['64:ff9b::169.254.169.254', '2002:a9fe:a9fe::', '::169.254.169.254']],
    ['metadata', ['::ffff:0:169.254.169.254', '::5efe:169.254.169.254', '::ffff:168.63.129.16']],
    ['public', ['1.1.1.1', '172.32.0.1', '100.63.255.254', '100.128.0.1', '168.63.129.17']],
    ['public', ['2606:4700:4700::1111', '2a00:1450::1', '2001:4860:4860::8888', '::ffff:1.1.1.1']],
    ['not_an_address', ['', 'localhost', '127.1', '0177.0.0.1', '1.2.3.4.5', '[::1]', '::1::']],
    ['not_an_address', ['2130706433', '1.1.1.1 ', ' 1.1.1.1', '1.1.1.1\n', '12345::', 'é']],
  ])('knows as %s: %j', (expected, addresses) => {
    for (const address of addresses)
      expect([address, classify(address)]).toEqual([address, expected]);
  });

  it('ignores the zone id of a resolved address', () => {
    expect(classify('fe80::1%lo')).toBe('metadata');
    expect(classify('::1%eth0')).toBe('loopback');
    expect(classify('2606:4700::1%x\ny')).toBe('public');
    expect(classify('%1.1.1.1')).toBe('not_an_address');
  });

  it('agrees with a slow reference at every boundary', () => {
    for (const n of [...boundaries(ranges4, MAX4), 0n, MAX4]) {
      expect([toIPv4(n), isAllowed(toIPv4(n))]).toEqual([toIPv4(n), allowedIPv4(n)]);
    }
    for (const n of [...boundaries([...ranges6, global6], MAX6), 0n, MAX6]) {
      expect([toIPv6(n), isAllowed(toIPv6(n))]).toEqual([toIPv6(n), allowedIPv6(n)]);
    }
  });

  it('agrees with a slow reference on any address', () => {
    fc.assert(fc.property(anyIPv4, (n) => strict.check(toIPv4(n)).allowed === allowedIPv4(n)));
    fc.assert(fc.property(anyIPv6, (n) => strict.check(toIPv6(n)).allowed === allowedIPv6(n)));
  });

  it('treats an IPv4 address and its mapped form alike, under every allow list', () => {
    const allow = fc.constantFrom<string[]>(
      [],
      ['127.0.0.0/8'],
      ['0.0.0.0/0'],
      ['10.0.0.0/8', '::/0'],
    );
    fc.assert(
      fc.property(anyIPv4, allow, (n, cidrs) => {
        const policy = compileAddressPolicy(cidrs);
        const [plain, hex] = [toIPv4(n), toIPv6(n + (0xffffn << 32n))];
        expect(policy.check(hex)).toEqual(policy.check(plain));
        expect(policy.check(`::ffff:${plain}`)).toEqual(policy.check(plain));
      }),
    );
  });

  it('is total: any text gets a decision', () => {
    fc.assert(fc.property(fc.string(), (text) => typeof strict.check(text).allowed === 'boolean'));
  });

  it('allows what an operator allows, and nothing else', () => {
    expect(isAllowed('127.0.0.1', ['127.0.0.0/8'])).toBe(true);
    expect(isAllowed('::ffff:127.0.0.1', ['127.0.0.0/8'])).toBe(true);
    expect(isAllowed('::1', ['127.0.0.0/8'])).toBe(false);
    expect(isAllowed('0.0.0.0', ['127.0.0.0/8'])).toBe(false);
    expect(isAllowed('::1', ['::1/128'])).toBe(true);
    expect(isAllowed('10.0.0.2', ['10.0.0.1/32'])).toBe(false);
    expect(isAllowed('10.0.0.1', ['::/0'])).toBe(false);
    expect(isAllowed('10.0.0.1', ['::ffff:10.0.0.0/104'])).toBe(true);
    expect(isAllowed('192.168.0.1', ['::ffff:10.0.0.0/104'])).toBe(false);
    expect(isAllowed('fd12::1', ['fd00::/8'])).toBe(true);
    expect(isAllowed('fd12:3456:789a:a00:5054:ff:fe12:3456', ['fd00::/8'])).toBe(true);
    expect(isAllowed('fd12:3456:789a::c0a8:105', ['fd12:3456:789a::/48'])).toBe(true);
  });

  describe('judges the IPv4 address that a gateway would send to', () => {
    const lengths = fc.constantFrom(32, 40, 48, 56, 64, 96);
    /** RFC 6052, 2.2, in strings of hex digits: prefix, IPv4 with two zeros at bit 64, suffix. */
    function translated(prefix: string, length: number, ipv4: bigint, suffix = ''): string {
      const digits = ipv4.toString(16).padStart(8, '0');
      const [at, before] = [length / 4, Math.max(0, 16 - length / 4)];
      const [head, rest] = [prefix.slice(0, at), digits.slice(before)];
      const hex = length === 96 ? head + digits : `${head}${digits.slice(0, before)}00${rest}`;
      return (hex + suffix).padEnd(32, '0').slice(0, 32).match(/.{4}/g)!.join(':');
    }
    const [LOCAL_USE, WELL_KNOWN] = ['0064ff9b0001'.padEnd(32, '0'), '0064ff9b'.padEnd(32, '0')];
    const OWN = '20010db801220344'.padEnd(32, '0');
    const hidden = fc.constantFrom('10.0.0.1', '192.168.7.9', '127.0.0.1', '172.20.1.2');
    const metadata = fc.constantFrom('169.254.169.254', '100.100.100.200', '168.63.129.16');
    const suffix = fc.stringMatching(/^[0-9a-f]{0,10}$/);
    const blockOf = (prefix: string, length: number) =>
      `${prefix.match(/.{4}/g)!.join(':')}/${length}`;

    it('in the examples of RFC 6052, 2.4', () => {
      const ipv4 = fromIPv4('192.0.2.33');
      expect([32, 40, 48, 56, 64].map((length) => translated(OWN, length, ipv4))).toEqual([
        '2001:0db8:c000:0221:0000:0000:0000:0000',
        '2001:0db8:01c0:0002:0021:0000:0000:0000',
        '2001:0db8:0122:c000:0002:2100:0000:0000',
        '2001:0db8:0122:03c0:0000:0221:0000:0000',
        '2001:0db8:0122:0344:00c0:0002:2100:0000',
      ]);
    });

    it('under the well-known prefix, whether it is allowed or not', () => {
      const allow = fc.constantFrom([], ['64:ff9b::/96'], ['64:ff9b::/32'], ['::/0']);
      fc.assert(
        fc.property(anyIPv4, allow, (n, cidrs) => {
          const [policy, ip] = [compileAddressPolicy(cidrs), translated(WELL_KNOWN, 96, n)];
          expect([ip, policy.check(ip).allowed]).toEqual([ip, policy.check(toIPv4(n)).allowed]);
        }),
      );
    });

    it('in every layout of a block for NAT64 that an operator allows', () => {
      const layouts = fc.constantFrom<[string, number]>(
        [LOCAL_USE, 48],
        [LOCAL_USE, 56],
        [LOCAL_USE, 64],
        [LOCAL_USE, 96],
        [WELL_KNOWN, 32],
        [WELL_KNOWN, 96],
      );
      fc.assert(
        fc.property(layouts, fc.oneof(hidden, metadata), suffix, ([prefix, length], ipv4, more) => {
          const ip = translated(prefix, length, fromIPv4(ipv4), more);
          expect([ip, isAllowed(ip, ['64:ff9b::/32', '64:ff9b:1::/48'])]).toEqual([ip, false]);
          expect([ip, isAllowed(ip, ['64:ff9b::/96', '64:ff9b:1::/96'])]).toEqual([ip, false]);
        }),
      );
      expect(isAllowed(translated(LOCAL_USE, 96, fromIPv4('8.8.8.8')), ['64:ff9b:1::/48'])).toBe(
        true,
      );
      expect(isAllowed(translated(LOCAL_USE, 48, fromIPv4('8.8.8.8')), ['64:ff9b:1::/48'])).toBe(
        true,
      );
    });

    it('in every layout of any other block that an operator allows', () => {
      fc.assert(
        fc.property(lengths, fc.oneof(hidden, metadata), (length, ipv4) => {
          const ip = translated(OWN, length, fromIPv4(ipv4));
          expect([ip, isAllowed(ip, [blockOf(OWN, length)])]).toEqual([ip, false]);
          expect(isAllowed(ip, [blockOf(OWN, length), '0.0.0.0/0'])).toBe(
            !['metadata', 'loopback'].includes(classify(ipv4)),
          );
        }),
      );
    });

    it('under the prefixes that an operator names, as if it were sent to directly', () => {
      const allow = fc.constantFrom([], ['10.0.0.0/8'], ['::/0']);
      const prefixes = fc.constantFrom(OWN, '26001234567890ab'.padEnd(32, '0'));
      fc.assert(
        fc.property(lengths, prefixes, anyIPv4, suffix, allow, (length, prefix, n, more, cidrs) => {
          const policy = compileAddressPolicy(cidrs, [blockOf(prefix, length)]);
          const ip = translated(prefix, length, n, more);
          expect([ip, policy.check(ip).allowed]).toEqual([ip, policy.check(toIPv4(n)).allowed]);
        }),
      );
    });

    it('under the longest of several prefixes that overlap, in any order', () => {
      const [short, long] = [blockOf(OWN, 32), blockOf(OWN, 96)];
      fc.assert(
        fc.property(anyIPv4, fc.boolean(), (n, isReversed) => {
          const policy = compileAddressPolicy([], isReversed ? [long, short] : [short, long]);
          const ip = translated(OWN, 96, n);
          expect([ip, policy.check(ip).allowed]).toEqual([ip, policy.check(toIPv4(n)).allowed]);
        }),
      );
    });

    it('never as loopback of this machine, which development allows', () => {
      expect(isAllowed('64:ff9b::7f00:1', ['127.0.0.0/8', '64:ff9b::/96'])).toBe(false);
      expect(isAllowed('2002:7f00:1::', ['127.0.0.0/8', '2002::/16'])).toBe(false);
    });

    it.each([
      ['6to4', '2002::/16', '2002:a00:1::'],
      ['Teredo, client', '2001::/32', '2001:0:808:808::f5ff:fffe'],
      ['Teredo, server', '2001::/32', '2001:0:a00:1::f7f7:f7f7'],
      ['ISATAP', 'fd00::/8', 'fd00::5efe:10.0.0.1'],
      ['compatible', '::/8', '::10.0.0.1'],
      ['translated', '::/8', '::ffff:0:10.0.0.1'],
    ])('of %s', (_name, cidr, address) => {
      expect(isAllowed(address, [cidr])).toBe(false);
      expect(isAllowed(address, [cidr, '10.0.0.0/8'])).toBe(true);
    });
  });

  it.each([
    '169.254.169.254',
    '::ffff:169.254.169.254',
    '169.254.170.2',
    '192.0.0.192',
    '168.63.129.16',
    '100.100.100.200',
    'fd00:ec2::254',
    'fe80::a9fe:a9fe%eth0',
    '64:ff9b::169.254.169.254',
    '64:ff9b:1::169.254.169.254',
    '2002:a9fe:a9fe::1',
    '2001:0:0:0:0:0:5601:5601',
    'not an address',
  ])('does not let an operator allow %s', (address) => {
    expect(isAllowed(address, ['0.0.0.0/0', '::/0'])).toBe(false);
  });
});

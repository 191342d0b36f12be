import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TrustedProxies } from './forwarded.js';

const request = (remoteAddress: string | undefined, forwardedFor?: string, more: object = {}) => ({
  socket: { remoteAddress },
  headers: { ...(forwardedFor !== undefined && { 'x-forwarded-for': forwardedFor }), ...more },
});

describe('the address of a client', () => {
  it.each<
    [trusted: number | string[], peer: string | undefined, header: string | undefined, is: string]
  >([
    [[], '198.51.100.7', '203.0.113.9', '198.51.100.7'],
    [0, '198.51.100.7', '203.0.113.9', '198.51.100.7'],
    [0, undefined, undefined, ''],
    [['10.0.0.0/8'], undefined, '203.0.113.9', ''],
    [['10.0.0.0/8'], '198.51.100.7', '203.0.113.9', '198.51.100.7'],
    [['10.0.0.0/8'], '10.1.2.3', '203.0.113.9', '203.0.113.9'],
    [['10.0.0.0/8'], '::ffff:10.1.2.3', '203.0.113.9', '203.0.113.9'],
    [['10.1.2.3'], '10.1.2.3', '203.0.113.9', '203.0.113.9'],
    [['10.1.2.3'], '10.1.2.4', '203.0.113.9', '10.1.2.4'],
    [['::1'], '::1', '::ffff:203.0.113.9', '203.0.113.9'],
    [['2001:db8::/32'], '2001:db8::5', '2001:db9::1', '2001:db9::1'],
    // A client that sends the header itself: the proxy adds the true address on the right.
    [['10.0.0.0/8'], '10.1.2.3', '192.0.2.66, 203.0.113.9', '203.0.113.9'],
    [['10.0.0.0/8'], '10.1.2.3', '10.9.9.9, 203.0.113.9', '203.0.113.9'],
    // Two proxies.
    [['10.0.0.0/8'], '10.1.2.3', '192.0.2.66, 203.0.113.9, 10.4.4.4', '203.0.113.9'],
    [['10.0.0.0/8'], '10.1.2.3', '10.5.5.5, 10.4.4.4', '10.5.5.5'],
    // No addresses.
    [['10.0.0.0/8'], '10.1.2.3', undefined, '10.1.2.3'],
    [['10.0.0.0/8'], '10.1.2.3', '', '10.1.2.3'],
    [['10.0.0.0/8'], '10.1.2.3', '203.0.113.9, unknown', '10.1.2.3'],
    [['10.0.0.0/8'], '10.1.2.3', '203.0.113.9, _hidden, 10.4.4.4', '10.4.4.4'],
    [['10.0.0.0/8'], '10.1.2.3', '1.2.3', '10.1.2.3'],
    // With ports.
    [['10.0.0.0/8'], '10.1.2.3', '203.0.113.9:4711', '203.0.113.9'],
    [['10.0.0.0/8'], '10.1.2.3', '[2001:db8::1]:4711', '2001:db8::1'],
    // Counted.
    [1, '198.51.100.7', '192.0.2.66, 203.0.113.9', '203.0.113.9'],
    [2, '198.51.100.7', '192.0.2.66, 203.0.113.9, 10.4.4.4', '203.0.113.9'],
    [2, '198.51.100.7', '203.0.113.9', '203.0.113.9'],
    [3, '198.51.100.7', undefined, '198.51.100.7'],
  ])('with %j trusted, of %s with %j is %s', (trusted, peer, header, is) => {
    expect(new TrustedProxies(trusted).addressOf(request(peer, header))).toBe(is);
  });

  it('is never what the client wrote itself, whatever it writes', () => {
    const anything = fc.oneof(
      fc.ipV4(),
      fc.ipV6(),
      fc.string(),
      fc.constantFrom('10.1.1.1', '127.0.0.1', '203.0.113.9, 10.1.1.1', ','),
    );
    fc.assert(
      fc.property(fc.array(anything), (written) => {
        const header = [...written, '203.0.113.9'].join(', ');
        for (const trusted of [1, ['10.0.0.0/8']]) {
          const address = new TrustedProxies(trusted).addressOf(request('10.1.2.3', header));
          expect(address).toBe('203.0.113.9');
        }
        for (const trusted of [0, [], ['10.0.0.0/8']]) {
          const address = new TrustedProxies(trusted).addressOf(request('198.51.100.7', header));
          expect(address).toBe('198.51.100.7');
        }
      }),
    );
  });
});

describe('the host that a client asked for', () => {
  it.each([
    [[], '10.1.2.3', 'node:3000'],
    [['10.0.0.0/8'], '198.51.100.7', 'node:3000'],
    [['10.0.0.0/8'], '10.1.2.3', 'app.example.com'],
    [1, '198.51.100.7', 'app.example.com'],
  ])('with %j trusted, forwarded by %s, is %s', (trusted, peer, host) => {
    const headers = { host: 'node:3000', 'x-forwarded-host': 'evil.example, app.example.com' };
    expect(new TrustedProxies(trusted).hostOf(request(peer, undefined, headers))).toBe(host);
  });

  it('is that of the request if the proxy names none', () => {
    const proxies = new TrustedProxies(1);
    expect(proxies.hostOf(request('10.1.2.3', undefined, { host: 'a.example' }))).toBe('a.example');
    expect(proxies.hostOf(request('10.1.2.3'))).toBeUndefined();
  });
});

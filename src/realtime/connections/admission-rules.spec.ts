import { describe, expect, it } from 'vitest';
import { ConnectionLimits, Handshakes, isAllowedOrigin } from './admission-rules.js';

const APP = 'https://app.example.com';

describe(isAllowedOrigin, () => {
  it.each<
    [origin: string | undefined, host: string | undefined, allowed: string[], expected: boolean]
  >([
    [undefined, 'api.example.com', [], true],
    [undefined, undefined, [APP], true],
    ['https://api.example.com', 'api.example.com', [], true],
    ['https://api.example.com', 'API.example.com:443', [], true],
    ['http://localhost:3000', 'localhost:3000', [], true],
    ['http://localhost:3000', 'localhost:3001', [], false],
    ['http://[::1]:3000', '[::1]:3000', [], true],
    ['https://api.example.com.evil.com', 'api.example.com', [], false],
    ['https://evil.com', 'api.example.com', [], false],
    ['https://evil.com', undefined, [], false],
    ['https://evil.com', '', [], false],
    ['null', 'null', [], false],
    ['null', 'api.example.com', [APP], false],
    ['', '', [], false],
    ['nonsense', 'nonsense', ['nonsense'], false],
    [APP, 'api.example.com', [APP], true],
    ['https://APP.example.com:443', 'api.example.com', [APP], true],
    ['http://app.example.com', 'api.example.com', [APP], false],
    ['https://app.example.com:8443', 'api.example.com', [APP], false],
    ['https://evil.com', 'api.example.com', ['*'], true],
    ['null', 'api.example.com', ['*'], true],
  ])('of %s on %s, where %j may: %s', (origin, host, allowed, expected) => {
    expect(isAllowedOrigin({ origin, host }, allowed)).toBe(expected);
  });

  it.each([
    ['same-origin', 'https://api.example.com', true],
    ['same-origin', 'null', false],
    ['same-site', 'https://api.example.com', false],
    ['cross-site', 'https://evil.com', false],
    ['none', 'https://api.example.com', false],
    [undefined, 'https://api.example.com', false],
  ])(
    'behind a proxy that replaces Host, for a browser that says %s of %s: %s',
    (site, origin, is) => {
      for (const host of ['127.0.0.1:3000', undefined]) {
        expect(isAllowedOrigin({ origin, host, site }, [])).toBe(is);
      }
    },
  );
});

const limitsWith = (limits = {}) =>
  new ConnectionLimits({
    connections: 10,
    connectionsPerIp: 10,
    connectionsPerUser: 10,
    connectionsPerTenant: 10,
    ...limits,
  });
/** A user of its own tenant, or of the one that is named first. */
const of = (user: string) => ({ ownerId: user.split('/')[0]!, userId: user });
const full = expect.objectContaining({ code: 'too_many_connections' }) as Error;

describe(ConnectionLimits, () => {
  it.each([
    ['in all', { connections: 2 }, ['c', 'c']],
    ['of one address', { connectionsPerIp: 2 }, ['1', 'c']],
    ['of one user', { connectionsPerUser: 2 }, ['3', 'a']],
    ['of one tenant', { connectionsPerTenant: 2 }, ['3', 'a/another user']],
  ] as const)('are limited %s', (_what, limits, [ip, user]) => {
    const counted = limitsWith(limits);
    counted.take('1', of('a'));
    const leave = counted.take('1', of('a'));
    expect(() => counted.take(ip, of(user))).toThrow(full);
    leave();
    counted.take(ip, of(user));
    expect(() => counted.take(ip, of(user))).toThrow(full);
  });

  it('are uncounted once', () => {
    const counted = limitsWith({ connections: 2 });
    const leave = counted.take('1', of('a'));
    counted.take('1', of('a'));
    leave();
    leave();
    counted.take('1', of('a'));
    expect(() => counted.take('1', of('a'))).toThrow(full);
  });

  it('do not count a connection that is refused', () => {
    const counted = limitsWith({ connectionsPerUser: 1, connections: 2 });
    counted.take('1', of('a'));
    for (let n = 0; n < 5; n++) expect(() => counted.take('1', of('a'))).toThrow(full);
    counted.take('1', of('b'));
  });
});

describe(Handshakes, () => {
  const tooMany = expect.objectContaining({ code: 'too_many_handshakes' }) as Error;

  it('are limited for an address and for all, until they end', () => {
    const handshakes = new Handshakes({ total: 3, perIp: 2 });
    const [first, second] = [handshakes.begin('1'), handshakes.begin('1')];
    expect(() => handshakes.check('1')).toThrow(tooMany);
    handshakes.check('2');
    handshakes.begin('2');
    expect(() => handshakes.check('3')).toThrow(tooMany);
    first();
    first();
    handshakes.check('1');
    second();
    handshakes.check('3');
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { redisAddressOf } from './redis-url.js';

describe(redisAddressOf, () => {
  it.each([
    ['redis://cache', { host: 'cache', port: 6379, db: 0, tls: false }],
    ['redis://cache/', { host: 'cache', port: 6379, db: 0, tls: false }],
    ['rediss://cache:6380/2', { host: 'cache', port: 6380, db: 2, tls: true }],
    ['redis://[::1]:7000', { host: '::1', port: 7000, db: 0, tls: false }],
    ['redis://:word@h', { host: 'h', port: 6379, password: 'word', db: 0, tls: false }],
  ])('reads %s', (url, address) => {
    expect(redisAddressOf(url)).toEqual(address);
  });

  it.each([
    'cache:6379',
    'http://cache',
    'redis:',
    'redis://',
    'redis:///1',
    'redis://cache/one',
    'redis://cache/1/2',
    'redis://cache/-1',
    'redis://cache/99999999999',
    'redis://cache:70000',
    'redis://cache?db=1',
    'redis://cache#1',
    'redis://:100%@cache',
    'redis://:pa#ss@cache',
    'redis://:pa/ss@cache',
  ])('refuses %s', (url) => {
    expect(redisAddressOf(url)).toBeUndefined();
  });

  it('takes any user and password that are percent-encoded', () => {
    const text = fc.string({ unit: 'binary', minLength: 1 });
    fc.assert(
      fc.property(text, text, (username, password) => {
        const url = `redis://${encodeURIComponent(username)}:${encodeURIComponent(password)}@h`;
        expect(redisAddressOf(url)).toMatchObject({ username, password });
      }),
    );
  });
});

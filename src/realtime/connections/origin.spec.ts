import { describe, expect, it } from 'vitest';
import { isAllowedOrigin } from './origin.js';

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
    expect(isAllowedOrigin(origin, host, allowed)).toBe(expected);
  });
});

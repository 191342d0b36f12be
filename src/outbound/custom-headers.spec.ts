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

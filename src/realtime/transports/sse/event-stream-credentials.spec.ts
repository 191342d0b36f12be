import { describe, expect, it } from 'vitest';
import { eventStreamCredentials } from './event-stream-credentials.js';

const request = (url: string | undefined, headers: Record<string, string> = {}) => ({
  url,
  headers,
  rawHeaders: Object.entries(headers).flat(),
});

describe(eventStreamCredentials, () => {
  it.each<[url: string | undefined, headers: Record<string, string>, expected: object]>([
    ['/stream?token=a.b.c', {}, { authorization: 'Bearer a.b.c' }],
    ['/stream?types=a&token=a.b.c', { 'x-api-key': 'k' }, { authorization: 'Bearer a.b.c' }],
    ['/stream?token=a', { authorization: 'Basic x' }, { authorization: 'Bearer a' }],
    ['/stream?token=', { authorization: 'Bearer h' }, { authorization: 'Bearer ' }],
    ['/stream?subject=?token=b', { authorization: 'Bearer h' }, { authorization: 'Bearer h' }],
    ['/stream', { authorization: 'Bearer h' }, { authorization: 'Bearer h' }],
    ['/stream?types=a', { 'x-api-key': 'k' }, { apiKey: 'k' }],
    ['/stream', {}, {}],
    [undefined, {}, {}],
  ])('of %s and %j are %j', (url, headers, expected) => {
    expect(eventStreamCredentials(request(url, headers))).toEqual(expected);
  });

  it('are refused where there are several', () => {
    expect(() => eventStreamCredentials(request('/stream?token=a&token=a'))).toThrow(
      expect.objectContaining({ code: 'ambiguous_credentials' }),
    );
  });
});

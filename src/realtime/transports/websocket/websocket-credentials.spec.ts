import { describe, expect, it } from 'vitest';
import { webSocketCredentials } from './websocket-credentials.js';

const request = (headers: Record<string, string>) => ({
  headers,
  rawHeaders: Object.entries(headers).flat(),
});

const protocol = (value: string) => ({ 'sec-websocket-protocol': value });

describe(webSocketCredentials, () => {
  it.each<[headers: Record<string, string>, query: string, expected: object]>([
    [{}, 'token=a.b.c', { authorization: 'Bearer a.b.c' }],
    [protocol('bearer, a.b.c'), '', { authorization: 'Bearer a.b.c' }],
    [protocol('chat,bearer,a.b.c'), '', { authorization: 'Bearer a.b.c' }],
    [protocol('bearer'), '', { authorization: 'Bearer ' }],
    [protocol('chat'), '', {}],
    [{ authorization: 'Bearer h' }, '', { authorization: 'Bearer h' }],
    [{ 'x-api-key': 'k' }, '', { apiKey: 'k' }],
    [{ authorization: 'Basic x' }, 'token=a', { authorization: 'Bearer a' }],
    [{}, 'token=', { authorization: 'Bearer ' }],
    [{}, '', {}],
  ])('of %j and %j are %j', (headers, query, expected) => {
    expect(webSocketCredentials(request(headers), new URLSearchParams(query))).toEqual({
      ...('authorization' in expected ? {} : { apiKey: undefined, authorization: undefined }),
      ...expected,
    });
  });

  it.each([
    [{}, 'token=a&token=a'],
    [protocol('bearer, a'), 'token=a'],
  ])('are refused where there are several: %j and %j', (headers, query) => {
    expect(() => webSocketCredentials(request(headers), new URLSearchParams(query))).toThrow(
      expect.objectContaining({ code: 'ambiguous_credentials' }),
    );
  });
});

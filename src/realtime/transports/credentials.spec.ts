import { describe, expect, it } from 'vitest';
import {
  eventStreamCredentials,
  socketIoCredentials,
  webSocketCredentials,
} from './credentials.js';

const request = (headers: Record<string, string> = {}) => ({
  headers,
  rawHeaders: Object.entries(headers).flat(),
});

describe(socketIoCredentials, () => {
  it.each<[auth: unknown, headers: Record<string, string>, expected: object]>([
    [{ token: 'abc' }, {}, { authorization: 'Bearer abc' }],
    [{ token: 'abc' }, { authorization: 'Basic x' }, { authorization: 'Bearer abc' }],
    [{ token: 'abc' }, { 'x-api-key': 'k' }, { authorization: 'Bearer abc' }],
    [{}, { authorization: 'Bearer h' }, { authorization: 'Bearer h' }],
    [undefined, { 'x-api-key': 'k' }, { apiKey: 'k' }],
    [{ token: null }, { 'x-api-key': 'k' }, { apiKey: 'k' }],
    [null, {}, {}],
    ['text', {}, {}],
  ])('of auth %j and headers %j are %j', (auth, headers, expected) => {
    expect(socketIoCredentials({ auth, query: { EIO: '4' } }, request(headers))).toMatchObject(
      expected,
    );
  });

  it.each([5, {}, [], true, 0])('are not read from a token that is %s', (token) => {
    const act = () => socketIoCredentials({ auth: { token }, query: {} }, request());
    expect(act).toThrow(expect.objectContaining({ code: 'invalid_token' }));
  });

  it.each(['token', 'access_token', 'TOKEN', 'apiKey', 'api_key', 'X-API-Key', 'Authorization'])(
    'are refused in the address (%s), whatever else is given',
    (name) => {
      const act = () =>
        socketIoCredentials({ auth: { token: 'abc' }, query: { [name]: 'x' } }, request());
      expect(act).toThrow(expect.objectContaining({ code: 'token_in_query' }));
    },
  );
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
    expect(eventStreamCredentials({ url, ...request(headers) })).toEqual(expected);
  });

  it('are refused where there are several', () => {
    const act = () => eventStreamCredentials({ url: '/stream?token=a&token=a', ...request() });
    expect(act).toThrow(expect.objectContaining({ code: 'ambiguous_credentials' }));
  });
});

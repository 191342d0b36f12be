import { describe, expect, it } from 'vitest';
import { credentialsOf } from './handshake.js';

const request = (headers: Record<string, string> = {}) => ({
  headers,
  rawHeaders: Object.entries(headers).flat(),
});

describe(credentialsOf, () => {
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
    expect(credentialsOf({ auth, query: { EIO: '4' } }, request(headers))).toMatchObject(expected);
  });

  it.each([5, {}, [], true, 0])('are not read from a token that is %s', (token) => {
    const act = () => credentialsOf({ auth: { token }, query: {} }, request());
    expect(act).toThrow(expect.objectContaining({ code: 'invalid_token' }));
  });

  it.each(['token', 'access_token', 'TOKEN', 'apiKey', 'api_key', 'X-API-Key', 'Authorization'])(
    'are refused in the address (%s), whatever else is given',
    (name) => {
      const act = () =>
        credentialsOf({ auth: { token: 'abc' }, query: { [name]: 'x' } }, request());
      expect(act).toThrow(expect.objectContaining({ code: 'token_in_query' }));
    },
  );
});

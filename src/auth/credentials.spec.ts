import { describe, expect, it } from 'vitest';
import { credentialsIn } from './credentials.js';

const ambiguous = expect.objectContaining({ code: 'ambiguous_credentials' });

describe(credentialsIn, () => {
  it('reads one header of either kind', () => {
    const headers = { authorization: 'Bearer a.b.c', host: 'x' };
    const rawHeaders = ['Host', 'x', 'Authorization', 'Bearer a.b.c'];
    expect(credentialsIn({ headers, rawHeaders })).toEqual({ authorization: 'Bearer a.b.c' });
    expect(
      credentialsIn({ headers: { 'x-api-key': 'k' }, rawHeaders: ['X-Api-Key', 'k'] }),
    ).toEqual({
      apiKey: 'k',
    });
  });

  it.each([
    ['two Authorization headers', ['Authorization', 'a', 'AUTHORIZATION', 'b']],
    ['the same one twice', ['authorization', 'a', 'authorization', 'a']],
    ['two API keys', ['X-API-Key', 'a', 'x-api-key', 'b']],
    ['one of each', ['Authorization', 'a', 'X-API-Key', 'b']],
  ])('refuses %s', (_, rawHeaders) => {
    expect(() => credentialsIn({ headers: { authorization: 'a' }, rawHeaders })).toThrow(ambiguous);
  });

  it('does not take a header’s value for a name', () => {
    const rawHeaders = ['x-note', 'authorization', 'x-other', 'x-api-key'];
    expect(credentialsIn({ headers: {}, rawHeaders })).toEqual({});
  });
});

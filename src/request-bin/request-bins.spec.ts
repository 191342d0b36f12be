import { describe, expect, it } from 'vitest';
import { RequestBins } from './request-bins.js';

const request = (body: unknown, headers: Record<string, string> = {}) => ({
  receivedAt: '2026-01-31T12:00:00.000Z',
  headers,
  body,
});

describe(RequestBins.name, () => {
  it('shows the last 20 requests of a bin, newest first', () => {
    const bins = new RequestBins();
    for (let body = 0; body < 25; body++) bins.add('a', request(body));
    bins.add('b', request('other'));
    expect(bins.get('a').map(({ body }) => body)).toEqual(
      Array.from({ length: 20 }, (_, index) => 24 - index),
    );
    expect(bins.get('b').map(({ body }) => body)).toEqual(['other']);
    expect(bins.get('c')).toEqual([]);
  });

  it('keeps the 20 bins that were used last', () => {
    const bins = new RequestBins();
    for (let index = 0; index < 20; index++) bins.add(`bin-${index}`, request(index));
    bins.add('bin-0', request('again'));
    bins.add('bin-20', request(20));
    expect(bins.get('bin-1')).toEqual([]);
    expect(bins.get('bin-0')).toHaveLength(2);
    expect(bins.get('bin-20')).toHaveLength(1);
  });

  it('is bounded in what it keeps, however many requests come to however many bins', () => {
    const bins = new RequestBins();
    const body = 'x'.repeat(500_000);
    for (let index = 0; index < 400; index++) bins.add(`bin-${index % 20}`, request(body));
    const kept = Array.from({ length: 20 }, (_, index) => bins.get(`bin-${index}`)).flat();
    expect(kept.length).toBeGreaterThan(10);
    expect(JSON.stringify(kept).length).toBeLessThan(9_000_000);
    bins.add('bin-1', request('y'.repeat(9_000_000)));
    expect(bins.get('bin-1')).toEqual([]);
  });

  it.each([
    'authorization',
    'proxy-authorization',
    'cookie',
    'set-cookie',
    'x-api-key',
    'ocp-apim-subscription-key',
    'x-apikey',
    'apikey',
    'x-auth-token',
    'x-amz-security-token',
    'x-csrf-token',
    'x-client-secret',
    'x-password',
  ])('shows no %s', (name) => {
    const bins = new RequestBins();
    bins.add('a', request(1, { [name]: 'Bearer abc', 'webhook-id': 'evt_1' }));
    expect(bins.get('a')[0]!.headers).toEqual({ [name]: '***', 'webhook-id': 'evt_1' });
  });

  it('shows what a receiver needs to verify a signature', () => {
    const bins = new RequestBins();
    const headers = {
      'webhook-id': 'evt_1',
      'webhook-timestamp': '1769860800',
      'webhook-signature': 'v1,abc=',
      'tidings-event-type': 'a.b',
      'content-type': 'application/json',
    };
    bins.add('a', request(1, headers));
    expect(bins.get('a')[0]!.headers).toEqual(headers);
  });
});

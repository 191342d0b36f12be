import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AppError } from '../../../shared/app-error.js';
import { isPlainWebSocket, webSocketTarget } from './websocket-target.js';

describe(webSocketTarget, () => {
  it.each([
    ['/ws', {}],
    ['/ws/', {}],
    ['/ws?token=a', {}],
    ['/ws/browser-1', { clientId: 'browser-1' }],
    ['/ws/browser%201/', { clientId: 'browser 1' }],
    ['/ws/predictions/AAPL', { topic: { type: 'predictions', subject: 'AAPL' } }],
    ['/ws/predictions/AAPL?token=a', { topic: { type: 'predictions', subject: 'AAPL' } }],
    ['/ws/snft.*/snft%3A1%2F2', { topic: { type: 'snft.*', subject: 'snft:1/2' } }],
    ['/ws/*/AAPL', { topic: { type: '*', subject: 'AAPL' } }],
  ])('of %s is %j', (url, expected) => {
    const { query, ...target } = webSocketTarget(url);
    expect(target).toEqual(expected);
    expect(query.get('token')).toBe(url.includes('?') ? 'a' : null);
  });

  it.each([
    ['/ws/%', 'malformed_request'],
    ['/ws/%ff', 'malformed_request'],
    ['/ws//', 'route_not_found'],
    ['/ws//AAPL', 'route_not_found'],
    ['/ws/a/b/c', 'route_not_found'],
    ['/ws/a.*.b/AAPL', 'invalid_input'],
    ['/ws/a/%00', 'invalid_input'],
    ['/ws/%00', 'invalid_input'],
    [`/ws/${'x'.repeat(129)}`, 'invalid_input'],
    [`/ws/a/${'x'.repeat(257)}`, 'invalid_input'],
  ])('is refused for %s: %s', (url, code) => {
    expect(() => webSocketTarget(url)).toThrow(expect.objectContaining({ code }));
  });

  it('is found or refused for any path', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (rest) => {
        try {
          webSocketTarget(`/ws${rest}`);
        } catch (error) {
          expect(error).toBeInstanceOf(AppError);
        }
      }),
    );
  });
});

describe(isPlainWebSocket, () => {
  it.each([
    ['/ws', true],
    ['/ws/', true],
    ['/ws?a', true],
    ['/ws/a/b/c', true],
    ['/wss', false],
    ['/', false],
    ['/api/ws', false],
    ['/socket.io/?EIO=4', false],
  ])('%s: %s', (url, expected) => {
    expect(isPlainWebSocket(url)).toBe(expected);
  });
});

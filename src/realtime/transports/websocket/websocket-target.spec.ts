import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AppError } from '../../../shared/app-error.js';
import { type Catalogue, isPlainWebSocket, webSocketAddress } from './websocket-target.js';

/** A catalogue of these types, each with its channel. */
const catalogueOf = (types: Record<string, string | undefined>): Catalogue => ({
  get: (name) =>
    Object.hasOwn(types, name) ? ({ name } as ReturnType<Catalogue['get']>) : undefined,
  typesIn: (channel) => Object.keys(types).filter((name) => types[name] === channel),
});
const CATALOGUE = catalogueOf({
  prediction_complete: 'predictions',
  'trade.submitted': undefined,
});

describe(webSocketAddress, () => {
  it.each([
    ['/ws', undefined],
    ['/ws/', undefined],
    ['/ws?token=a', undefined],
    ['/ws/browser-1', { clientId: 'browser-1' }],
    ['/ws/browser%201/', { clientId: 'browser 1' }],
    ['/ws/predictions', { channel: 'predictions' }],
    ['/ws/predictions/', { channel: 'predictions' }],
    ['/ws/predictions/AAPL', { channel: 'predictions', subject: 'AAPL' }],
    ['/ws/predictions/AAPL?token=a', { channel: 'predictions', subject: 'AAPL' }],
    ['/ws/alerts', { clientId: 'alerts' }],
    ['/ws/alerts/AAPL', { type: 'alerts', subject: 'AAPL' }],
    ['/ws/prediction_complete', { type: 'prediction_complete' }],
    ['/ws/trade.submitted', { type: 'trade.submitted' }],
    ['/ws/client-connected', { type: 'client-connected' }],
    ['/ws/trade.*', { clientId: 'trade.*' }],
    ['/ws/snft.*/snft%3A1%2F2', { type: 'snft.*', subject: 'snft:1/2' }],
    ['/ws/*/AAPL', { type: '*', subject: 'AAPL' }],
  ])('of %s is %j', (url, expected) => {
    const { query, target, topic, client } = webSocketAddress(url, CATALOGUE);
    expect(target).toEqual(expected);
    expect(query.get('token')).toBe(url.includes('?') ? 'a' : null);
    if (target && 'clientId' in target)
      expect({ topic, client }).toEqual({ client: { ...target, replaces: false } });
    else expect(topic).toEqual(target);
  });

  it.each([
    ['/ws?clientId=a', { clientId: 'a', replaces: false }],
    ['/ws?clientId=a&replace=true', { clientId: 'a', replaces: true }],
    ['/ws/a?replace=1', { clientId: 'a', replaces: true }],
    ['/ws/a?replace=false&clientId=a', { clientId: 'a', replaces: false }],
    ['/ws/predictions?clientId=a', { clientId: 'a', replaces: false }],
    ['/ws/predictions/AAPL?clientId=a&replace', { clientId: 'a', replaces: true }],
  ])('of %s names the client %j', (url, expected) => {
    expect(webSocketAddress(url, CATALOGUE).client).toEqual(expected);
  });

  it.each([
    ['/ws?replace=true', 'replace'],
    ['/ws/predictions?replace=true', 'replace'],
    ['/ws/a?replace=maybe', 'replace'],
    ['/ws/a?clientId=b', 'clientId'],
    ['/ws?clientId=a&clientId=b', 'clientId'],
    ['/ws?clientId=', 'clientId'],
    ['/ws/con_01h455vb4pex5vsknk084sn02q', 'clientId'],
    ['/ws/guest:con_1', 'clientId'],
  ])('of %s is refused, and %s is named', (url, field) => {
    const errors = [expect.objectContaining({ field }) as object];
    expect(() => webSocketAddress(url, CATALOGUE)).toThrow(expect.objectContaining({ errors }));
  });

  it('is a channel, else a type, else a client id, and with a subject never a client id', () => {
    const name = fc.constantFrom('a', 'b', 'a.b', 'server-status', 'x y');
    const types = fc.dictionary(
      name,
      fc.option(fc.constantFrom('c', 'd', 'a.c'), { nil: undefined }),
    );
    const asked: fc.Arbitrary<string> = fc.oneof(name, fc.constantFrom('c', 'd', 'a.c'));
    const about = fc.option(fc.constantFrom('s', 'x/y'), { nil: undefined });
    fc.assert(
      fc.property(types, asked, about, (known, first, subject) => {
        const path = [first, ...(subject === undefined ? [] : [subject])].map(encodeURIComponent);
        const read = () => webSocketAddress(`/ws/${path.join('/')}`, catalogueOf(known)).target;
        const rest = subject === undefined ? {} : { subject };
        if (Object.values<string | undefined>(known).includes(first)) {
          expect(read()).toEqual({ channel: first, ...rest });
        } else if (first === 'x y' && (subject !== undefined || first in known)) {
          expect(read).toThrow(AppError);
        } else if (subject !== undefined || first in known || first === 'server-status') {
          expect(read()).toEqual({ type: first, ...rest });
        } else expect(read()).toEqual({ clientId: first });
      }),
    );
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
    expect(() => webSocketAddress(url, CATALOGUE)).toThrow(expect.objectContaining({ code }));
  });

  it('is found or refused for any path', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (rest) => {
        try {
          webSocketAddress(`/ws${rest}`, CATALOGUE);
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

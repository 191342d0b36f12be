import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readMessage } from './websocket-message.js';

const request = (name: string, payload: object, requestId?: number) => ({
  kind: 'request',
  name,
  requestId,
  payload,
  isBare: false,
});

describe(readMessage, () => {
  it.each([
    ['{"type":"ping"}', request('ping', {})],
    [
      '{"type":"subscribe","topics":["a"],"requestId":7}',
      request('subscribe', { topics: ['a'] }, 7),
    ],
    ['{"message":"a","requestId":7}', { ...request('message', { message: 'a' }, 7), isBare: true }],
    ['{"x":{"type":"chat"}}', { ...request('message', { x: { type: 'chat' } }), isBare: true }],
    ['{}', { ...request('message', {}), isBare: true }],
    ['{"type":"pong"}', { kind: 'pong' }],
    ['hello', { kind: 'text', text: 'hello' }],
    ['', { kind: 'text', text: '' }],
    ['{"type":', { kind: 'text', text: '{"type":' }],
  ])('reads %s', (text, expected) => {
    expect(readMessage(text)).toEqual(expected);
  });

  it.each([
    ['5', 'payload', undefined],
    ['null', 'payload', undefined],
    ['[]', 'payload', undefined],
    ['"text"', 'payload', undefined],
    ['true', 'payload', undefined],
    ['{"type":null,"message":"a"}', 'type', undefined],
    ['{"message":"a","requestId":[]}', 'requestId', undefined],
    ['{"type":5,"requestId":"a"}', 'type', 'a'],
    ['{"type":"ping","requestId":{}}', 'requestId', undefined],
    ['{"type":"ping","requestId":null}', 'requestId', undefined],
    ['{"type":"ping","requestId":1e999}', 'requestId', undefined],
    [`{"type":"ping","requestId":"${'x'.repeat(129)}"}`, 'requestId', undefined],
  ])('refuses %s and names %s', (text, field, requestId) => {
    const message = readMessage(text);
    expect(message).toMatchObject({ kind: 'bad', refusal: { code: 'invalid_input' } });
    expect(message.kind === 'bad' && message.refusal.message.startsWith(`${field}:`)).toBe(true);
    expect(message.kind === 'bad' && message.requestId).toBe(requestId);
  });

  it('makes something of any text', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.json()), (text) => {
        expect(['request', 'text', 'pong', 'bad']).toContain(readMessage(text).kind);
      }),
    );
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fieldErrors } from '../shared/field-errors.js';
import { messageFrame } from './message-frame.js';

const request = (name: string, payload: object) => ({ kind: 'request', name, payload });

describe('a message in the form of chat clients', () => {
  it.each([
    ['hello', { kind: 'text', text: 'hello' }],
    [{ message: 'a' }, request('chat', { message: 'a' })],
    [{ message: 'a', message_type: null, to: null }, request('chat', { message: 'a' })],
    [{ message: 'a', message_type: 'chat' }, request('chat', { message: 'a' })],
    [{ message: 'a', room: 'r' }, request('chat', { room: 'r', message: 'a' })],
    [{ message: null }, request('chat', { message: null })],
    [{ message: 'a', user: 'ann' }, request('chat', { message: 'a' })],
    [{ text: 'a', n: 1 }, request('chat', { message: { text: 'a', n: 1 } })],
    [{ move: 'e4', to: 'e4' }, request('chat', { message: { move: 'e4', to: 'e4' } })],
    [{}, request('chat', { message: {} })],
    [{ message: { x: 1 }, message_type: 'broadcast' }, request('broadcast', { message: { x: 1 } })],
    [{ message_type: 'ping', message: 'a', target: 'b' }, request('ping', {})],
    // The request itself refuses what is missing, and names it.
    [{ message_type: 'chat' }, request('chat', {})],
    [{ message_type: 'private', message: 'a' }, request('private', { message: 'a' })],
  ])('%j stands for a request', (frame, expected) => {
    expect(messageFrame.parse(frame)).toEqual(expected);
  });

  it.each(['to', 'target', 'target_id', 'recipient', 'recipient_id', 'client_id'])(
    'may name the recipient as %s',
    (name) => {
      const frame = { message: 'a', message_type: 'private', [name]: 'bob' };
      expect(messageFrame.parse(frame)).toEqual(request('private', { to: 'bob', message: 'a' }));
    },
  );

  it('has the sender as client_id if there is another recipient, or if it is for all', () => {
    const frame = { message: 'a', client_id: 'ann' };
    expect(messageFrame.parse(frame)).toEqual(request('chat', { message: 'a' }));
    expect(messageFrame.parse({ ...frame, message_type: 'private', target: 'bob' })).toEqual(
      request('private', { to: 'bob', message: 'a' }),
    );
  });

  it.each([
    [{ message: 'a', message_type: 'shout' }, 'message_type'],
    [{ message: 'a', message_type: 5 }, 'message_type'],
    [{ message: 'a', message_type: '__proto__' }, 'message_type'],
    [{ message: 'a', to: 'bob' }, 'to'],
    [{ message: 'a', message_type: 'chat', target: 'bob' }, 'target'],
    [{ message: 'a', message_type: 'broadcast', recipient: 'bob' }, 'recipient'],
    [{ message: 'a', message_type: 'private', to: 'bob', target: 'eve' }, 'target'],
    ['\ud800', '(body)'],
    [5, '(body)'],
    [['a'], '(body)'],
    [null, '(body)'],
    [undefined, '(body)'],
  ])('%j is refused, and names %s', (frame, field) => {
    const { error } = messageFrame.safeParse(frame);
    expect(fieldErrors(error!.issues)[0]?.field).toBe(field);
  });

  it('is never for one and sent to all', () => {
    const members = fc.record(
      {
        message: fc.constantFrom('a', null, 5),
        message_type: fc.constantFrom('chat', 'broadcast', 'private', null),
        to: fc.constantFrom('bob', null),
        target: fc.constantFrom('bob', 'eve', null),
        recipient_id: fc.constantFrom('bob', null),
      },
      { requiredKeys: ['message'] },
    );
    fc.assert(
      fc.property(members, (frame) => {
        const parsed = messageFrame.safeParse(frame).data;
        const isForOne = Boolean(frame.to ?? frame.target ?? frame.recipient_id);
        if (isForOne && parsed) expect(parsed).toMatchObject({ name: 'private' });
      }),
    );
  });
});

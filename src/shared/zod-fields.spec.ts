import { describe, expect, it } from 'vitest';
import fc from 'fast-check';
import {
  eventPattern,
  eventType,
  ownerId,
  plainText,
  timestamp,
  timestampInput,
} from './zod-fields.js';

const accepts = (schema: { safeParse(value: unknown): { success: boolean } }, value: unknown) =>
  schema.safeParse(value).success;

describe('shared schemas', () => {
  it.each([
    ['text', true],
    ['Grüße 😀 👩‍👩‍👧 مرحبا', true],
    ['', false],
    ['x'.repeat(100), true],
    ['x'.repeat(101), false],
    ['a\u0000b', false],
    ['a\r\nb', false],
    ['a\u001b[31m', false],
    ['a\u009b31m', false],
    ['a\ud800', false],
    ['\udc00a', false],
    [['text'], false],
    [{}, false],
    [7, false],
  ])('takes %j as plain text: %s', (value, valid) => {
    expect(accepts(plainText(100), value)).toBe(valid);
  });

  it('takes plain text only if it is the same after a trip through UTF-8', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', minLength: 1, maxLength: 50 }), (text) => {
        fc.pre(accepts(plainText(100), text));
        return Buffer.from(text, 'utf8').toString('utf8') === text && !text.includes('\u0000');
      }),
    );
  });

  it.each([
    ['acme', true],
    ['user|0a1b', true],
    ['Jürgen 李', true],
    ['', false],
    ['a'.repeat(128), true],
    ['a'.repeat(129), false],
    ['acme\u200b', false],
    ['acme\u202e', false],
    ['acme\u2028', false],
    ['acme\n', false],
  ])('takes %j as an owner id: %s', (value, valid) => {
    expect(accepts(ownerId, value)).toBe(valid);
  });

  it.each([
    ['2026-01-31T12:00:00Z', '2026-01-31T12:00:00.000Z'],
    ['2026-01-31T12:00:00.123456789Z', '2026-01-31T12:00:00.123Z'],
    ['2026-01-31T12:00:00+05:30', '2026-01-31T06:30:00.000Z'],
    ['2026-02-30T12:00:00Z', undefined],
    ['2026-01-31T12:00:00', undefined],
    ['2026-01-31', undefined],
    ['1769860800000', undefined],
    [`2026-01-31T12:00:00.${'0'.repeat(100)}Z`, undefined],
  ])('reads the time %j as %s', (text, instant) => {
    expect(timestampInput.safeParse(text).data?.toISOString()).toBe(instant);
  });

  it('answers with times as Date writes them', () => {
    fc.assert(
      fc.property(
        fc.date({
          noInvalidDate: true,
          max: new Date('9999-12-31T23:59:59.999Z'),
          min: new Date(0),
        }),
        (date) => accepts(timestamp, date.toISOString()),
      ),
    );
  });

  it('distinguishes event types from patterns', () => {
    expect(accepts(eventType, 'trade.*')).toBe(false);
    expect(accepts(eventPattern, 'trade.*')).toBe(true);
    expect(accepts(eventType, 'trade.submitted')).toBe(true);
    expect(accepts(eventPattern, '*.trade')).toBe(false);
  });
});

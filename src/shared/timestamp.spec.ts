import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseTimestamp } from './timestamp.js';

const iso = (text: string) => parseTimestamp(text)?.toISOString();

describe(parseTimestamp.name, () => {
  it.each([
    ['2026-11-30T20:00:00Z', '2026-11-30T20:00:00.000Z'],
    ['2026-11-30t20:00:00z', '2026-11-30T20:00:00.000Z'],
    ['2026-11-30T20:00:00.1239+05:30', '2026-11-30T14:30:00.123Z'],
    ['2026-11-30T00:00:00-00:00', '2026-11-30T00:00:00.000Z'],
    ['2026-12-31T23:59:60Z', '2027-01-01T00:00:00.000Z'],
    ['2026-12-31t18:59:60.9-05:00', '2027-01-01T00:00:00.000Z'],
    ['2028-02-29T23:59:59.999Z', '2028-02-29T23:59:59.999Z'],
    ['0000-01-01T00:00:00Z', '0000-01-01T00:00:00.000Z'],
    ['0099-06-01T00:00:00Z', '0099-06-01T00:00:00.000Z'],
  ])('reads %s', (text, expected) => expect(iso(text)).toBe(expected));

  it.each([
    '2026-11-30',
    '2026-11-30T20:00Z',
    '2026-11-30T20:00:00',
    '2026-11-30 20:00:00Z',
    '',
    '2026-02-29T00:00:00Z',
    '2026-13-01T00:00:00Z',
    '2026-00-10T00:00:00Z',
    'now',
    '2026-04-31T00:00:00Z',
    '2026-01-00T00:00:00Z',
    '2026-01-01T24:00:00Z',
    '2026-01-01T00:60:00Z',
    '2026-01-01T00:00:61Z',
    '2026-01-01T00:00:60Z',
    '2026-12-31T23:59:60+01:00',
    '2026-01-01T00:00:00.Z',
    '2026-01-01T00:00:00+24:00',
    '2026-01-01T00:00:00+01',
    '2026-01-01T00:00:00+00:60',
    '+02026-01-01T00:00:00Z',
    '0000-01-01T00:00:00+00:01',
    '9999-12-31T23:59:59-00:01',
    '9999-12-31T23:59:60Z',
  ])('refuses "%s"', (text) => expect(iso(text)).toBeUndefined());

  it('reads every time that Date writes, with any offset and case', () => {
    const offset = fc.integer({ min: -1_439, max: 1_439 });
    const range = { min: new Date('0001-01-03T00:00:00Z'), max: new Date('9999-12-29T00:00:00Z') };
    fc.assert(
      fc.property(
        fc.date({ ...range, noInvalidDate: true }),
        offset,
        fc.boolean(),
        (date, minutes, isLow) => {
          const local = new Date(date.getTime() + minutes * 60_000).toISOString().slice(0, -1);
          const [hours, rest] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60];
          const zone = `${minutes < 0 ? '-' : '+'}${`${hours}`.padStart(2, '0')}:${`${rest}`.padStart(2, '0')}`;
          const text = `${local}${zone}`;
          expect(iso(isLow ? text.toLowerCase() : text)).toBe(date.toISOString());
        },
      ),
    );
  });
});

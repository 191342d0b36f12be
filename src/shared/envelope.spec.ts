import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { envelopeText, withOwner } from './envelope.js';

const ID = 'evt_01h455vb4pex5vsknk084sn02q';
const text = fc.string({ unit: 'grapheme', minLength: 1 });

describe(withOwner, () => {
  it('adds the owner to any envelope, and nothing else', () => {
    fc.assert(
      fc.property(
        fc.json(),
        text,
        fc.option(text, { nil: undefined }),
        (data, ownerId, subject) => {
          const timestamp = '2026-01-31T12:00:00.000Z';
          const body = envelopeText({ id: ID, type: 'a.b', timestamp, subject, data: null }, data);
          const named = withOwner(body, ownerId);
          expect(JSON.parse(named)).toEqual({ ...(JSON.parse(body) as object), ownerId });
          expect(named.replace(`"ownerId":${JSON.stringify(ownerId)},`, () => '')).toBe(body);
          expect(withOwner(body, null)).toBe(body);
        },
      ),
    );
  });
});

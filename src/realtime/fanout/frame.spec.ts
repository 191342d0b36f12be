import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Frame, joinedBelow } from './frame.js';

const frame = fc.string().map((text): Frame => ({ text, bytes: Buffer.from(text) }));

describe(joinedBelow, () => {
  it('changes neither bytes nor texts, and makes nothing larger than asked for', () => {
    fc.assert(
      fc.property(fc.nat(40), fc.array(frame), (limit, frames) => {
        const pieces = joinedBelow(limit, frames, '|');
        const bytes = (list: Frame[]) => Buffer.concat(list.map((each) => each.bytes));
        expect(bytes(pieces)).toEqual(bytes(frames));
        const texts = pieces.map(({ text }) => text).join('|');
        expect(texts).toBe(frames.map(({ text }) => text).join('|'));
        for (const piece of pieces) {
          if (!frames.includes(piece)) expect(piece.bytes.length).toBeLessThanOrEqual(limit);
        }
      }),
    );
  });

  it('makes one piece of what fits into one', () => {
    fc.assert(
      fc.property(fc.array(frame, { minLength: 1 }), (frames) => {
        const total = frames.reduce((sum, { bytes }) => sum + bytes.length, 0);
        expect(joinedBelow(total, frames, '')).toHaveLength(1);
      }),
    );
  });
});

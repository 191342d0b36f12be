import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Frame, joinedBelow } from './frame.js';

const frame = fc.string().map((text): Frame => ({ text, bytes: Buffer.from(text) }));

describe(joinedBelow, () => {
  it('changes neither bytes nor texts, and joins nothing above the limit', () => {
    fc.assert(
      fc.property(fc.nat(40), fc.array(frame), (limit, frames) => {
        const chunks = joinedBelow(limit, frames, '|');
        const bytes = (list: Frame[]) => Buffer.concat(list.map((each) => each.bytes));
        expect(bytes(chunks)).toEqual(bytes(frames));
        const texts = chunks.map(({ text }) => text).join('|');
        expect(texts).toBe(frames.map(({ text }) => text).join('|'));
        for (const chunk of chunks) {
          if (!frames.includes(chunk)) expect(chunk.bytes.length).toBeLessThanOrEqual(limit);
        }
      }),
    );
  });

  it('makes one chunk of what fits into one', () => {
    fc.assert(
      fc.property(fc.array(frame, { minLength: 1 }), (frames) => {
        const total = frames.reduce((sum, { bytes }) => sum + bytes.length, 0);
        expect(joinedBelow(total, frames, '')).toHaveLength(1);
      }),
    );
  });
});

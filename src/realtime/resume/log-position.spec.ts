import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { newId } from '../../shared/ids.js';
import { isPosition, MAX_POSITION_LENGTH, positionText, readPosition } from './log-position.js';
import { isMissed } from './resume-point.js';

const moments = fc
  .record({
    atMs: fc.nat(4_000_000_000_000),
    horizon: fc.bigInt({ min: 1n, max: 2n ** 62n }),
    offsets: fc.uniqueArray(fc.nat(500), { maxLength: 60 }),
    more: fc.nat(1_000),
  })
  .map(({ atMs, horizon, offsets, more }) => {
    const running = offsets.toSorted((a, b) => a - b).map((offset) => horizon + BigInt(offset));
    const end = (running.at(-1) ?? horizon) + 1n + BigInt(more);
    return { atMs, horizon, running, end, snapshot: `${horizon}:${end}:${running.join(',')}` };
  });

describe('a position', () => {
  it('says of every transaction whether a client has missed it, or of some more that it has', () => {
    fc.assert(
      fc.property(moments, fc.nat(1_600), ({ horizon, running, end, ...moment }, offset) => {
        const read = readPosition(positionText(moment))!;
        expect(read.atMs).toBe(moment.atMs);
        const tx = horizon - 1n + BigInt(offset);
        const isNew = tx >= end || running.includes(tx);
        const event = { tx: String(tx), id: newId('evt'), publishedBy: 1 };
        const missed = isMissed(read.point, event);
        if (isNew) expect(missed).toBe(true);
        else if (running.length <= 24) expect(missed).toBe(false);
        if (tx < horizon) expect(missed).toBe(false);
      }),
    );
  });

  it('is short, whatever is running', () => {
    fc.assert(
      fc.property(moments, (moment) => {
        const text = positionText(moment);
        expect(text.length).toBeLessThan(MAX_POSITION_LENGTH / 2);
        expect(text).toMatch(/^pos_[0-9a-z_]+$/);
      }),
    );
  });

  it('may be any text from a client, of which only what PostgreSQL can compare is read', () => {
    const numbers = fc.array(fc.stringMatching(/^[0-9a-z]{0,16}$/), { maxLength: 8 });
    fc.assert(
      fc.property(numbers, (parts) => {
        const read = readPosition(`pos_${parts.join('_')}`);
        if (!read) return;
        const [horizon, end, running = ''] = read.point.snapshot.text.split(':');
        expect(BigInt(horizon!)).toBeGreaterThan(0n);
        expect(BigInt(end!)).toBeLessThan(2n ** 63n);
        expect(BigInt(end!)).toBeGreaterThanOrEqual(BigInt(horizon!));
        for (const tx of running.split(',').filter(Boolean).map(BigInt)) {
          expect(tx).toBeLessThan(BigInt(end!));
        }
      }),
    );
  });

  it.each([
    '',
    'pos_',
    'pos_1_2',
    'pos_1_0_0',
    'evt_01h455vb4pex5vsknk084sn02q',
    'pos_1_2_0_0',
    `pos_1_1_${'z'.repeat(600)}`,
  ])('is not %s', (text) => {
    expect(isPosition(text)).toBe(false);
  });
});

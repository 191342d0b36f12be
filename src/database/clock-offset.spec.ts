import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ClockOffset } from './clock-offset.js';

const latency = fc.double({ min: 0, max: 500, noNaN: true });

describe(ClockOffset.name, () => {
  it('errs by no more than half of the fastest round trip, whatever the others took', () => {
    const round = fc.tuple(latency, latency);
    fc.assert(
      fc.property(fc.integer(), fc.array(round, { minLength: 1 }), (offset, rounds) => {
        const clock = new ClockOffset();
        let now = 0;
        for (const [there, back] of rounds) {
          clock.observe(now + there + offset, now, now + there + back);
          now += there + back + 1_000;
        }
        const fastest = Math.min(...rounds.map(([there, back]) => there + back));
        expect(Math.abs(clock.ms - offset)).toBeLessThanOrEqual(fastest / 2 + 0.02);
      }),
    );
  });

  it('follows a clock that is set, with the next sample', () => {
    const clock = new ClockOffset();
    clock.observe(10_000, 0, 10);
    expect(clock.ms).toBeCloseTo(9_995);
    clock.observe(400_020, 20, 30);
    expect(clock.ms).toBeCloseTo(399_995);
    clock.observe(1_040, 40, 50);
    expect(clock.ms).toBeCloseTo(995);
  });

  it('follows clocks that run at different speeds', () => {
    const clock = new ClockOffset();
    for (let now = 0; now < 1e9; now += 5_000) clock.observe(now * 1.0001, now - 5, now + 5);
    expect(Math.abs(clock.ms - 1e9 * 0.0001)).toBeLessThan(20);
  });
});

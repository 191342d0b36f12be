import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type DeadlineEntry, DeadlineWheel } from './deadline-wheel.js';

interface Named extends DeadlineEntry {
  name: number;
}

const entry = (name: number, deadlineMs: number): Named => ({
  name,
  deadlineMs,
  previousEntry: null,
  nextEntry: null,
});

type Step =
  { do: 'add'; inMs: number } | { do: 'remove'; pick: number } | { do: 'advance'; byMs: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant('add' as const), inMs: fc.integer({ min: -20, max: 400 }) }),
  fc.record({ do: fc.constant('remove' as const), pick: fc.nat(50) }),
  fc.record({ do: fc.constant('advance' as const), byMs: fc.integer({ min: 0, max: 300 }) }),
);

describe('the deadline wheel', () => {
  it('gives up an entry at its deadline, not before and at most one tick later', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        let now = 1_000;
        const wheel = new DeadlineWheel<Named>(10, 8, now);
        const waiting = new Set<Named>();
        const all: Named[] = [];
        for (const action of steps) {
          if (action.do === 'add') {
            const added = entry(all.length, now + action.inMs);
            wheel.add(added);
            waiting.add(added);
            all.push(added);
          } else if (action.do === 'remove') {
            const removed = all[action.pick];
            if (removed === undefined) continue;
            wheel.remove(removed);
            waiting.delete(removed);
          } else {
            now += action.byMs;
            for (const due of wheel.takeDue(now)) {
              expect(waiting.delete(due)).toBe(true);
              expect(due.deadlineMs).toBeLessThanOrEqual(now);
            }
          }
          expect(wheel.size).toBe(waiting.size);
        }
        const due = wheel.takeDue(now + 10);
        const overdue = [...waiting].filter(({ deadlineMs }) => deadlineMs <= now);
        expect(due).toEqual(expect.arrayContaining(overdue));
      }),
    );
  });

  it('catches up after it was not turned for longer than one turn', () => {
    const wheel = new DeadlineWheel<Named>(10, 8, 0);
    for (let name = 0; name < 30; name++) wheel.add(entry(name, name * 10));
    expect(wheel.takeDue(295)).toHaveLength(30);
    expect(wheel.size).toBe(0);
  });

  it('hands out everything at once when asked to', () => {
    const wheel = new DeadlineWheel<Named>(10, 8, 0);
    for (let name = 0; name < 30; name++) wheel.add(entry(name, name * 10));
    expect(wheel.takeAll()).toHaveLength(30);
    expect(wheel.takeDue(10_000)).toEqual([]);
  });
});

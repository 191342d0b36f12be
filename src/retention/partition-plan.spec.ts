import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { firstSuffixAt } from '../shared/ids.js';
import {
  DAYS_AHEAD,
  expiredPartitions,
  idAt,
  LOG_TABLES,
  missingPartitions,
  type Partition,
  partitionOf,
} from './partition-plan.js';

const DAY_MS = 86_400_000;
const NOW_MS = Date.parse('2026-11-22T04:05:06Z');
const time = fc.integer({ min: Date.parse('2000-01-01'), max: Date.parse('2500-01-01') });

/** Makes and drops like the service does; answers with what there is then. */
function tend(existing: readonly Partition[], nowMs: number, days: number): Partition[] {
  const expired = new Set(expiredPartitions(existing, nowMs, days));
  return [...existing.filter((p) => !expired.has(p)), ...missingPartitions(existing, nowMs)];
}

describe('the plan of partitions', () => {
  it('asks for today and the days ahead, in every table, under the name of the day', () => {
    const missing = missingPartitions([], NOW_MS);
    expect(missing.length).toBe((DAYS_AHEAD + 1) * LOG_TABLES.length);
    expect(missing.slice(0, 4).map(({ name }) => name)).toEqual([
      'deliveries_20261122',
      'delivery_attempts_20261122',
      'events_20261122',
      'deliveries_20261123',
    ]);
  });

  it('asks for no day that is there, whatever it is called', () => {
    const upTo = (ms: number) => `FOR VALUES FROM (MINVALUE) TO ('evt_${firstSuffixAt(ms)}')`;
    const first = partitionOf('events', 'events_first', upTo(Date.parse('2026-11-23')))!;
    const missing = missingPartitions([first], NOW_MS).map(({ name }) => name);
    expect(missing).not.toContain('events_20261122');
    expect(missing).toContain('events_20261123');
    expect(missing).toContain('deliveries_20261122');
  });

  it('reads the bounds that the catalogue shows', () => {
    expect(partitionOf('events', 'a', "FOR VALUES FROM ('evt_01a') TO ('evt_01b')")).toEqual({
      table: 'events',
      name: 'a',
      from: '01a',
      to: '01b',
    });
    expect(partitionOf('events', 'a', 'FOR VALUES FROM (MINVALUE) TO (MAXVALUE)')).toMatchObject({
      from: '',
      to: '~',
    });
    expect(partitionOf('events', 'a', 'DEFAULT')).toBeUndefined();
  });

  it('drops a day when all of it is too old, and its event last', () => {
    const days = missingPartitions([], NOW_MS);
    const at = (ms: number) => expiredPartitions(days, ms, 30).map(({ name }) => name);
    const endOfDay = Date.parse('2026-11-23') + 30 * DAY_MS;
    expect(at(endOfDay - 1)).toEqual([]);
    expect(at(endOfDay)).toEqual([
      'deliveries_20261122',
      'delivery_attempts_20261122',
      'events_20261122',
    ]);
  });

  it('covers every moment of the week to come exactly once, and none that is a day too old', () => {
    fc.assert(
      fc.property(
        time,
        fc.integer({ min: 1, max: 60 }),
        fc.array(fc.integer({ min: 0, max: 20 * DAY_MS }), { maxLength: 30 }),
        fc.integer({ min: 0, max: DAYS_AHEAD * DAY_MS }),
        (startMs, days, steps, aheadMs) => {
          let existing: Partition[] = [];
          let nowMs = startMs;
          for (const step of steps) {
            existing = tend(existing, (nowMs += step), days);
            for (const table of LOG_TABLES) {
              const holding = (ms: number) =>
                existing.filter((p) => p.table === table && isIn(p, ms)).length;
              expect(holding(nowMs + aheadMs)).toBe(1);
              expect(holding(nowMs)).toBe(1);
              expect(holding(nowMs - (days + 1) * DAY_MS)).toBe(0);
            }
          }
        },
      ),
      { numRuns: 50 },
    );
  });

  it('bounds ids by the millisecond that they hold', () => {
    expect(idAt('events', firstSuffixAt(NOW_MS))).toBe(`evt_${firstSuffixAt(NOW_MS)}`);
    expect(idAt('delivery_attempts', '')).toBe('dlv_');
  });
});

function isIn({ from, to }: Partition, ms: number): boolean {
  const suffix = firstSuffixAt(ms);
  return from <= suffix && suffix < to;
}

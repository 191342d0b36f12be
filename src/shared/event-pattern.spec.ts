import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  SYSTEM_EVENT_TYPES,
  covers,
  isEventPattern,
  isEventType,
  matches,
  patternsOf,
} from './event-pattern.js';

const segment = fc.stringMatching(/^[a-c]{1,2}$/);
const type = fc.oneof(
  fc.array(segment, { minLength: 1, maxLength: 4 }).map((s) => s.join('.')),
  fc.constantFrom(...SYSTEM_EVENT_TYPES, 'webhook', 'webhook.test'),
);
const pattern = fc.oneof(
  fc.constant('*'),
  type,
  type.map((t) => `${t}.*`),
);

/** The definition, segment by segment, written as plainly as possible. */
function slowlyMatches(p: string, t: string): boolean {
  if (p === '*') return !(SYSTEM_EVENT_TYPES as readonly string[]).includes(t);
  const want = p.split('.');
  const have = t.split('.');
  if (want.at(-1) !== '*') return p === t;
  const prefix = want.slice(0, -1);
  return have.length > prefix.length && prefix.every((s, i) => s === have[i]);
}

describe('event patterns', () => {
  it.each([
    ['trade.submitted', true],
    ['prediction_complete', true],
    ['client-connected', true],
    ['', false],
    ['.', false],
    ['a..b', false],
    ['a.', false],
    ['a.*', false],
    ['a b', false],
    ['a\u0000', false],
    ['a'.repeat(129), false],
  ])('takes %j as an event type: %s', (value, valid) => {
    expect(isEventType(value)).toBe(valid);
  });

  it.each([
    ['*', true],
    ['trade.*', true],
    ['trade.submitted', true],
    ['**', false],
    ['*.trade', false],
    ['trade.*.x', false],
    ['trade*', false],
    ['.*', false],
    ['', false],
  ])('takes %j as a pattern: %s', (value, valid) => {
    expect(isEventPattern(value)).toBe(valid);
  });

  it('selects a prefix at any depth, but not the prefix itself', () => {
    expect(matches('trade.*', 'trade.a.b')).toBe(true);
    expect(matches('trade.*', 'trade')).toBe(false);
    expect(matches('trade.*', 'trades.a')).toBe(false);
  });

  it('matches as the definition says', () => {
    fc.assert(fc.property(pattern, type, (p, t) => matches(p, t) === slowlyMatches(p, t)));
  });

  it('lists exactly the patterns that match a type', () => {
    fc.assert(fc.property(pattern, type, (p, t) => patternsOf(t).includes(p) === matches(p, t)));
  });

  it('covers a pattern only if every type that it selects is selected', () => {
    fc.assert(
      fc.property(pattern, pattern, type, (outer, inner, t) => {
        fc.pre(covers(outer, inner) && matches(inner, t));
        return matches(outer, t);
      }),
    );
  });

  it('covers a pattern if every type that it selects is selected', () => {
    const types = ['a', 'a.b', 'a.b.c', 'b', 'b.a', 'webhook.x', ...SYSTEM_EVENT_TYPES];
    const patterns = ['*', 'a', 'a.b', 'b', 'a.*', 'webhook.*', 'delivery.*', ...types];
    for (const outer of patterns) {
      for (const inner of patterns) {
        const selected = types.filter((t) => matches(inner, t));
        const isCovered = selected.every((t) => matches(outer, t));
        // `a.*` selects more types than the sample has, so an exact type never covers it.
        const isExact = !outer.endsWith('*') && inner.endsWith('*');
        expect([outer, inner, covers(outer, inner)]).toEqual([
          outer,
          inner,
          isCovered && !isExact && !(inner === '*' && outer !== '*'),
        ]);
      }
    }
  });

  it('decides a hostile pattern in linear time', () => {
    expect(isEventPattern(`${'a.'.repeat(100_000)}*`)).toBe(false);
  });
});

describe('system events', () => {
  it('are selected by their type or a prefix, and not by *', () => {
    expect(patternsOf('client-connected')).toEqual(['client-connected']);
    expect(patternsOf('webhook.disabled')).toEqual(['webhook.disabled', 'webhook.*']);
    expect(patternsOf('webhook.test')).toContain('*');
    expect(matches('*', 'client-connected')).toBe(false);
  });

  it('are covered by a prefix, and not by *', () => {
    expect(covers('webhook.*', 'webhook.disabled')).toBe(true);
    expect(covers('*', 'webhook.disabled')).toBe(false);
    expect(covers('*', 'webhook.*')).toBe(false);
    expect(covers('*', 'trade.*')).toBe(true);
    expect(covers('*', '*')).toBe(true);
  });
});

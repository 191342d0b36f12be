import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { covers, isEventPattern, isEventType, matches, patternsOf } from './event-pattern.js';

const segment = fc.stringMatching(/^[a-c]{1,2}$/);
const type = fc.array(segment, { minLength: 1, maxLength: 4 }).map((s) => s.join('.'));
const pattern = fc.oneof(
  fc.constant('*'),
  type,
  type.map((t) => `${t}.*`),
);

/** The definition, segment by segment, without any cleverness. */
function slowlyMatches(p: string, t: string): boolean {
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

  it('decides a hostile pattern in linear time', () => {
    expect(isEventPattern(`${'a.'.repeat(100_000)}*`)).toBe(false);
  });
});

describe('what the system tells about itself', () => {
  it('is subscribed to by its name or a prefix, and not by *', () => {
    expect(patternsOf('client-connected')).toEqual(['client-connected']);
    expect(patternsOf('webhook.disabled')).toEqual(['webhook.disabled', 'webhook.*']);
    expect(patternsOf('webhook.test')).toContain('*');
  });
});

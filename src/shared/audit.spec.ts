import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  AUDIT_ACTIONS,
  AUDIT_RESOURCES,
  changesOf,
  MASK,
  MAX_VALUE_LENGTH,
  maskedUrl,
  maskedValues,
  resourceOf,
  TRIMMED,
} from './audit.js';

describe(resourceOf, () => {
  it.each(AUDIT_ACTIONS)('knows the thing that %s is about', (action) => {
    expect(AUDIT_RESOURCES).toContain(resourceOf(action));
  });
});

describe(changesOf, () => {
  it('has the fields that differ, and no others', () => {
    expect(changesOf({ a: 1, b: [1], c: null }, { a: 2, b: [1], d: null, e: 'x' })).toEqual({
      a: { old: 1, new: 2 },
      e: { old: null, new: 'x' },
    });
  });

  it('shows that a secret has changed, without it', () => {
    const shown = { headers: maskedValues };
    expect(changesOf({ headers: { A: '1' } }, { headers: { A: '2' } }, shown)).toEqual({
      headers: { old: { A: MASK }, new: { A: MASK } },
    });
  });

  it('is bounded for any value, and well-formed', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.string({ maxLength: 3_000, unit: 'binary' }), (json, text) => {
        const { changes } = changesOf({}, { changes: [json, text] });
        const now = JSON.stringify(changes?.new);
        expect(now.length).toBeLessThan(6 * (MAX_VALUE_LENGTH + TRIMMED.length) + 3);
        expect(now.isWellFormed()).toBe(true);
      }),
    );
  });
});

describe(maskedUrl, () => {
  it.each([
    ['https://example.com/hooks', 'https://example.com/hooks'],
    ['https://example.com/?', `https://example.com/?${MASK}`],
    ['https://example.com/?a=1&b=x=y&secret', `https://example.com/?a=${MASK}&b=${MASK}&${MASK}`],
    ['https://example.com/?a=1?b=2', `https://example.com/?a=${MASK}`],
  ])('%s becomes %s', (url, masked) => {
    expect(maskedUrl(url)).toBe(masked);
  });
});

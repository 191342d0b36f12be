import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bodyText, MAX_RESPONSE_BYTES, retryAfterText } from './attempt-result.js';

describe('the text of a response', () => {
  it('is null without a body, and the body otherwise', () => {
    expect(bodyText(Buffer.alloc(0))).toBeNull();
    expect(bodyText(Buffer.from('zażółć 😀'))).toBe('zażółć 😀');
  });

  it('replaces what is not UTF-8 and what PostgreSQL cannot hold', () => {
    expect(bodyText(Buffer.from([0x61, 0xff, 0x62]))).toBe('a\ufffdb');
    expect(bodyText(Buffer.from('a\0b\x1ec\x1fd\x1d\n'))).toBe('a\ufffdb\ufffdc\ufffdd\x1d\n');
  });

  it('is bounded and storable, whatever the bytes', () => {
    const bytes = fc.uint8Array({ maxLength: MAX_RESPONSE_BYTES + 100, size: 'max' });
    fc.assert(
      fc.property(bytes, (array) => {
        const text = bodyText(Buffer.from(array)) ?? '';
        return (
          text.length <= MAX_RESPONSE_BYTES &&
          Buffer.from(text).toString() === text &&
          !text.includes('\0')
        );
      }),
      { numRuns: 30 },
    );
  });

  it('includes a Retry-After of bounded length', () => {
    expect(retryAfterText(undefined)).toBeNull();
    expect(retryAfterText('120')).toBe('120');
    expect(retryAfterText('9'.repeat(5_000))).toHaveLength(64);
  });
});

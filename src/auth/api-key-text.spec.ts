import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { API_KEY_BYTES, apiKeyHash, apiKeyPrefix, apiKeyText, isApiKey } from './api-key.js';

describe('API key text', () => {
  it('writes and recognises a key', () => {
    const key = apiKeyText(randomBytes(API_KEY_BYTES));
    expect(isApiKey(key)).toBe(true);
    expect(key).toHaveLength(47);
    expect(apiKeyPrefix(key)).toBe(key.slice(0, 8));
  });

  it('keeps a hash from which the key cannot be had', () => {
    const key = `tdk_${'A'.repeat(43)}`;
    expect(apiKeyHash(key)).toMatch(/^[0-9a-f]{64}$/);
    expect(apiKeyHash(key)).not.toBe(apiKeyHash(key.replace(/A$/, 'B')));
  });

  it.each([
    '',
    'tdk_',
    `tdk_${'A'.repeat(42)}`,
    `tdk_${'A'.repeat(44)}`,
    `TDK_${'A'.repeat(43)}`,
    `tdk_${'A'.repeat(42)}=`,
    `tdk_${'A'.repeat(43)}\n`,
  ])('does not ask the store for %j', (text) => {
    expect(isApiKey(text)).toBe(false);
  });
});
